"""An own model: registered in three lines, then listed, trained and submitted like the zoo's."""

import keras

import kfkd


@kfkd.register(subsets=("all",))
def small_net(outputs: int, input_shape: tuple[int, int, int] = (96, 96, 1)) -> keras.Model:
    """Four strided convolutions and a linear layer."""
    keep = {"strides": 2, "padding": "same", "activation": "relu"}
    return keras.Sequential(
        [
            keras.Input(input_shape),
            keras.layers.Rescaling(1 / 255),
            *(keras.layers.Conv2D(filters, 3, **keep) for filters in (16, 32, 64, 64)),
            keras.layers.Flatten(),
            keras.layers.Dense(outputs),
        ]
    )


if __name__ == "__main__":
    run = kfkd.train("small_net", epochs=20, out="runs/small_net")
    print(kfkd.evaluate(run))
    print(kfkd.submit(run, clip=True))
