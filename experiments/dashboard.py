"""`cascade-exit dashboard`, without installation."""

from cascade_exit.apps.dashboard import main

if __name__ == "__main__":
    main()
