"""`cascade-exit predict`, without installation."""

from cascade_exit.apps.predict import main

if __name__ == "__main__":
    main()
