"""A gradient written by hand, and what it can't do."""

import tensorflow as tf

__all__ = ["keep_first_order"]


def keep_first_order(source: tf.Tensor, gradient: tf.Tensor) -> tf.Tensor:
    """Return *gradient*, which depends on *source* in ways that TensorFlow doesn't see.

    Args:
        source: any shape.
        gradient: any shape.

    Raises:
        NotImplementedError: when the result is differentiated again; without this a derivative of second order would
            come out as 0.
    """

    @tf.custom_gradient
    def keep(_: tf.Tensor) -> tuple[tf.Tensor, object]:
        def refuse(_: tf.Tensor) -> tf.Tensor:
            raise NotImplementedError(
                "The triplet loss has no derivatives of second order. Expected one GradientTape around it. "
                "Received: a gradient of its gradient"
            )

        return tf.identity(gradient), refuse

    return keep(source)
