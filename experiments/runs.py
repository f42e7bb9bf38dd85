"""`cascade-exit runs`, without installation."""

from cascade_exit.apps.runs import main

if __name__ == "__main__":
    main()
