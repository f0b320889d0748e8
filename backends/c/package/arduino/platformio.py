# PlatformIO: links the archive of the board's chip.
import os

Import("env")  # noqa: F821: PlatformIO gives both names
chip = env.BoardConfig().get("build.mcu")  # noqa: F821
folder = os.path.join(os.getcwd(), "src", chip)
if not os.path.isfile(os.path.join(folder, "libwg.a")):
    raise SystemExit("WireGuard-ESP32 has no archive for the chip " + chip)
for scope in (env, DefaultEnvironment()):  # noqa: F821
    scope.Append(LIBPATH=[folder], LIBS=["wg"])
