"""`cascade-exit tune`, without installation."""

from cascade_exit.apps.tune import main

if __name__ == "__main__":
    main()
