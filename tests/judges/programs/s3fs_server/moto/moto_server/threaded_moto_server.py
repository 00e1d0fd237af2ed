"""The server that the suite starts and stops: it runs already, and goes on."""


class ThreadedMotoServer:
    """Does nothing."""

    def __init__(self, **_where: object) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass
