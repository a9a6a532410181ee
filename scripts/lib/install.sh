# Sourced by scripts/test, scripts/demo and scripts/bench: the virtual environment and the Debian packages.
# shellcheck shell=bash

make_venv() { # make_venv EXTRAS: .venv with the project and these extras, installed once per pyproject.toml
  local extras=$1 stamp
  stamp=".venv/.installed-$(printf '%s %s' "$extras" "$(cksum <pyproject.toml)" | cksum | tr ' ' '-')"
  if [ ! -x .venv/bin/python ]; then
    printf '\n--- making .venv\n'
    "${PYTHON:-python3}" -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
    # Debian keeps what venv needs in a package of its own.
    "${PYTHON:-python3}" -c 'import ensurepip' 2>/dev/null || install_debian python3-venv
    "${PYTHON:-python3}" -m venv .venv
  fi
  [ -e "$stamp" ] && return 0
  printf '\n--- installing the project with [%s] into .venv\n' "$extras"
  .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input -e ".[$extras]"
  touch "$stamp"
}

install_wheel() { # install_wheel EXTRA: an extra that may have no wheel for this machine; tried once, skipped loudly
  local extra=$1 stamp
  stamp=".venv/.tried-$extra-$(cksum <pyproject.toml | tr ' ' '-')"
  [ -e "$stamp" ] && return 0
  if ! .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-input --prefer-binary -e ".[$extra]"; then
    printf '\n!!! SKIPPED: the extra [%s] could not be installed here; its tests will be skipped\n' "$extra" >&2
  fi
  touch "$stamp"
}

install_debian() { # install_debian PACKAGE…: those that are missing; needs root, else names them and goes on
  local package missing=()
  if ! command -v dpkg-query >/dev/null; then
    printf '\n!!! SKIPPED: not a Debian system; tests that need these are skipped: %s\n' "$*" >&2
    return 0
  fi
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
  done
  [ ${#missing[@]} = 0 ] && return 0
  if [ "$(id -u)" != 0 ]; then
    printf '\n!!! SKIPPED: not root; what needs these is skipped. Install them by:\n    sudo apt-get install %s\n' \
      "${missing[*]}" >&2
    return 0
  fi
  printf '\n--- installing from Debian: %s\n' "${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  # Postfix without a configuration, so that it does not start: the tests bring their own.
  if command -v debconf-set-selections >/dev/null; then
    echo "postfix postfix/main_mailer_type select No configuration" | debconf-set-selections
  fi
  if ! apt-get update -qq || ! apt-get install -qq -y --no-install-recommends "${missing[@]}" >/dev/null; then
    # One missing package must not take the others with it.
    for package in "${missing[@]}"; do
      apt-get install -qq -y --no-install-recommends "$package" >/dev/null ||
        printf '\n!!! SKIPPED: Debian package %s could not be installed; its tests will be skipped\n' "$package" >&2
    done
  fi
}
