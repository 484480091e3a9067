"""Physics of the instruments: arrays in, arrays out; no files, no network, no bluesky.

`sim.stage` moves a specimen the way a real goniometer does, `sim.fleet` moves many of them without
a clock, `sim.specimen` says what is there to be seen, `sim.imaging` takes the picture, and
`sim.clock` tells the time. SI units throughout, and every result is a function of the seed and of
the commands.
"""
