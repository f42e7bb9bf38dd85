"""`cascade-exit trace`, without installation."""

from cascade_exit.apps.trace import main

if __name__ == "__main__":
    main()
