"""`cascade-exit evaluate`, without installation."""

from cascade_exit.apps.evaluate import main

if __name__ == "__main__":
    main()
