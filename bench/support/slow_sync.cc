// libslow_sync.so, preloaded into a database or broker: each fsync and fdatasync takes
// FEEDVAULT_SLOW_SYNC_US microseconds longer, as on a slower disk.

#include <dlfcn.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <ctime>

namespace {

using SyncFunction = int (*)(int);

SyncFunction next(const char* name) {
  return reinterpret_cast<SyncFunction>(::dlsym(RTLD_NEXT, name));
}

int slowly(SyncFunction sync, int fd) {
  static const long extra_us = [] {
    const char* const text =
        std::getenv("FEEDVAULT_SLOW_SYNC_US");  // NOLINT(concurrency-mt-unsafe)
    return text == nullptr ? 0 : std::strtol(text, nullptr, 10);
  }();
  const int result = sync(fd);
  const int error = errno;
  timespec left{extra_us / 1'000'000, extra_us % 1'000'000 * 1000};
  while (::nanosleep(&left, &left) != 0 && errno == EINTR) {  // the disk is slow
  }
  errno = error;
  return result;
}

}  // namespace

extern "C" int fsync(int fd) {
  static const SyncFunction sync = next("fsync");
  return slowly(sync, fd);
}

extern "C" int fdatasync(int fd) {
  static const SyncFunction sync = next("fdatasync");
  return slowly(sync, fd);
}
