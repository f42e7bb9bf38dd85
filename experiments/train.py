"""`cascade-exit train`, without installation."""

from cascade_exit.apps.train import main

if __name__ == "__main__":
    main()
