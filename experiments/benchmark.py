"""`cascade-exit benchmark`, without installation."""

from cascade_exit.apps.benchmark import main

if __name__ == "__main__":
    main()
