"""`cascade-exit describe`, without installation."""

from cascade_exit.apps.describe import main

if __name__ == "__main__":
    main()
