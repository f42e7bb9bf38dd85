"""`cascade-exit report`, without installation."""

from cascade_exit.apps.report import main

if __name__ == "__main__":
    main()
