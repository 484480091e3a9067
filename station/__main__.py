"""``python -m station`` is ``twinscope``."""

from station.cli import main

if __name__ == "__main__":
    main()
