# shellcheck shell=bash
# The Debian packages that native mode needs, and their installation. Sourced by bash.
# Everything third-party comes from here; nothing is downloaded by hand.

readonly RUN_PACKAGES=(mariadb-server-core mariadb-client-core)
readonly BUILD_PACKAGES=(
  cmake ninja-build g++ pkg-config libnats-dev libspdlog-dev libprotobuf-dev libprotoc-dev protobuf-compiler
  libtomlplusplus-dev libcli11-dev nlohmann-json3-dev prometheus-cpp-dev libboost-dev
  default-libmysqlclient-dev libssl-dev zlib1g-dev)
readonly TEST_PACKAGES=(
  nats-server libgtest-dev libgmock-dev libbenchmark-dev python3 git openssl chromium-headless-shell
  zsh fish)
readonly CHECK_PACKAGES=(
  clang clang-14 clang-tidy-14 clang-format-14 libclang-rt-14-dev llvm-14 lld shellcheck ccache)

# npm, for the dashboard's plots and for the tests under node. Who has it from elsewhere keeps it.
node_packages() {
  if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    printf '%s\n' nodejs npm
  fi
}

# What `up` needs: nats-server only where it is the broker, now or before.
run_packages() {
  printf '%s\n' "${RUN_PACKAGES[@]}"
  case " ${FEEDVAULT_BROKER:-} ${BROKER:-} ${BROKER_BEFORE:-} " in
    *' nats-server '*) echo nats-server ;;
  esac
}

missing_packages() {  # PACKAGE...
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
      printf '%s\n' "$package"
  done
}

# nats-server's package brings a service that would start at the next boot, on our port. Masking it
# before the package arrives keeps it from ever starting; `systemctl unmask nats-server` undoes it.
# Who has the package already keeps what he has.
mask_broker_service() {
  local unit=/etc/systemd/system/nats-server.service
  [[ ! -e /lib/systemd/system/nats-server.service && ! -e $unit && ! -L $unit ]] || return 0
  mkdir -p "${unit%/*}" && ln -s /dev/null "$unit"
}

# Installs what is missing of the named packages. Without root: says the one command, and ends.
ensure_packages() {  # WHAT PACKAGE...
  local what=$1 missing log
  shift
  if ! command -v apt-get >/dev/null; then
    die "native mode needs Debian 12 (apt-get); elsewhere use: bash run.sh --mode docker"
  fi
  mapfile -t missing < <(missing_packages "$@")
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    warn "these packages are missing: ${missing[*]}"
    die "run this once as root, then try again:" \
      "${FEEDVAULT_BROKER:+FEEDVAULT_BROKER=$FEEDVAULT_BROKER }bash $ROOT/run.sh install $what"
  fi
  say "installing ${#missing[@]} packages: ${missing[*]}"
  if [[ " ${missing[*]} " == *' nats-server '* ]]; then mask_broker_service; fi
  log=$(mktemp)
  if ! {
    apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y \
      --no-install-recommends -o DPkg::Lock::Timeout=300 "${missing[@]}"
  } >"$log" 2>&1 </dev/null; then
    tail -n 15 "$log" >&2
    rm -f "$log"
    die "apt-get could not install the packages above: see its message"
  fi
  rm -f "$log"
}

# run: what `up` needs. test: besides, what `test` needs. check: besides, what .ci/run needs.
install_packages() {  # run|test|check
  local node_packages run_packages
  mapfile -t node_packages < <(node_packages)
  mapfile -t run_packages < <(run_packages)
  case $1 in
    run) ensure_packages "$1" "${run_packages[@]}" "${BUILD_PACKAGES[@]}" "${node_packages[@]}" ;;
    test)
      ensure_packages "$1" "${RUN_PACKAGES[@]}" "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" \
        "${node_packages[@]}"
      ;;
    check)
      ensure_packages "$1" "${RUN_PACKAGES[@]}" "${BUILD_PACKAGES[@]}" "${TEST_PACKAGES[@]}" \
        "${node_packages[@]}" "${CHECK_PACKAGES[@]}"
      ;;
    *) die "install what? run, test or check, not '$1'" ;;
  esac
}

# Builds a preset unless FEEDVAULT_BUILD_DIR names a finished build. Sets BUILD_DIR.
build_preset() {  # PRESET [CMAKE-ARGUMENT...]
  BUILD_DIR=$ROOT/build/$1
  local preset=$1 log=$ROOT/build/$1.log
  shift
  if command -v ccache >/dev/null; then
    set -- -DCMAKE_CXX_COMPILER_LAUNCHER=ccache "$@"
  fi
  mkdir -p "$ROOT/build"
  [[ -e $BUILD_DIR/build.ninja ]] || say "building ($preset; minutes at the first time)"
  if ! (cd "$ROOT" && cmake --preset "$preset" "$@" && cmake --build "$BUILD_DIR") \
    >"$log" 2>&1 </dev/null; then
    grep -E -A 5 'error|FAILED|CMake Error' "$log" | head -n 40 >&2
    die "the build failed; all of its output: $log"
  fi
}
