"""The lab's file server: what files over MSRP go through. See :mod:`.interaction`."""

from __future__ import annotations

from gateway.lab.interaction import InteractionServer, command


class FileServer(InteractionServer):
    """Carries files, and nothing else."""

    name = "file server"
    kinds = ("file",)


main = command(FileServer, 5082)

if __name__ == "__main__":
    main()
