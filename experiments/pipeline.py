"""`cascade-exit pipeline`, without installation."""

from cascade_exit.apps.pipeline import main

if __name__ == "__main__":
    main()
