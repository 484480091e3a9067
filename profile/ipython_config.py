"""IPython for a microscope: errors in a few lines, no questions at the exit."""

c = get_config()  # pyright: ignore[reportUndefinedVariable]

c.TerminalIPythonApp.display_banner = False
c.InteractiveShell.xmode = "Minimal"
c.TerminalInteractiveShell.confirm_exit = False
c.Completer.use_jedi = False  # jedi runs code of lazy objects, such as cat, to complete them
c.Completer.evaluation = "limited"
