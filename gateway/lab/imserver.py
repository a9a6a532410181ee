"""The lab's IM server: what chats and files go through where there is no file server. See :mod:`.interaction`."""

from __future__ import annotations

from gateway.lab.interaction import InteractionServer, command


class ImServer(InteractionServer):
    """Carries chats; also files, for a core without file server."""

    name = "IM server"
    kinds = ("im", "file")


main = command(ImServer, 5080)

if __name__ == "__main__":
    main()
