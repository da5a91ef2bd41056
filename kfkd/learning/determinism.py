"""The backend's settings of a process: the same numbers for the same seed, devices."""

from __future__ import annotations

from contextlib import suppress

from kfkd.machine import machine


def one_op_at_a_time() -> bool:
    """Lets TensorFlow run one operation at a time, each still on all cores.

    With several at once, sums come out in another order from run to run, and after a few hundred
    steps so do all digits (seen with TensorFlow 2.21; its own op determinism does not cover it).
    TensorFlow takes the setting only before its first operation in a process.

    Returns:
        Whether the setting holds, or no TensorFlow is in use.
    """
    import keras

    if keras.config.backend() != "tensorflow":
        return True
    import tensorflow as tf

    take_memory_as_needed()
    if tf.config.threading.get_inter_op_parallelism_threads() == 1:
        return True
    try:
        tf.config.threading.set_inter_op_parallelism_threads(1)
    except RuntimeError:
        return False
    return True


def take_memory_as_needed() -> None:
    """Lets TensorFlow take a GPU's memory when it needs it, not all of it at once.

    So several processes can share a GPU, as a search's workers may. It is too late once TensorFlow
    uses the GPU, and where the user has set limits these hold.
    """
    import tensorflow as tf

    for gpu in tf.config.list_physical_devices("GPU"):
        with suppress(RuntimeError, ValueError):
            tf.config.experimental.set_memory_growth(gpu, True)


def one_thread() -> bool:
    """Lets TensorFlow compute on one core alone, no accelerator: what one face takes there.

    Returns:
        Whether it does; it takes the setting only before its first operation in a process.
    """
    import tensorflow as tf

    try:
        tf.config.set_visible_devices([], "GPU")
        if tf.config.threading.get_intra_op_parallelism_threads() != 1:
            tf.config.threading.set_intra_op_parallelism_threads(1)
    except RuntimeError:
        return False
    return one_op_at_a_time()


def accelerator() -> str:
    """The first accelerator of Keras' backend, which then trains; "" where a processor does."""
    import keras

    if keras.config.backend() == "jax":
        import jax

        first = jax.devices()[0]
        return "" if first.platform == "cpu" else first.device_kind
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        for gpu in tf.config.get_visible_devices("GPU")[:1]:
            return tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)
    return ""


def device_name() -> str:
    """What trains: the first accelerator of Keras' backend, else the processor."""
    return accelerator() or machine()["cpu"]


def find_devices() -> list[str]:
    """Names of the devices that TensorFlow sees; empty under another backend."""
    import keras

    if keras.config.backend() != "tensorflow":
        return []
    import tensorflow as tf

    return [device.name for device in tf.config.list_physical_devices()]
