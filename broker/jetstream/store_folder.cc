#include "broker/jetstream/store_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include <fmt/format.h>

namespace feedvault::broker::jetstream {
namespace {

constexpr const char* kLockName = "lock";
constexpr const char* kStreamsName = "streams";

// Each new folder is synced into the one above it.
Status make_all(const std::string& path, store::FileSystem& fs) {
  for (std::size_t at = path.find('/', 1); true; at = path.find('/', at + 1)) {
    const std::string dir = path.substr(0, at);
    if (::access(dir.c_str(), F_OK) != 0) {
      RETURN_IF_ERROR(fs.make_dir(dir));
      const std::size_t slash = dir.rfind('/');
      RETURN_IF_ERROR(fs.sync_dir(slash == std::string::npos ? "." : dir.substr(0, slash + 1)));
    }
    if (at == std::string::npos) {
      return {};
    }
  }
}

// nats-server has a folder for each account, with its streams below. To serve beside them would
// look as if those streams had become empty.
Status refuse_other_streams(const std::string& path, store::FileSystem& fs) {
  const auto folders = fs.list(path);
  if (!folders) {
    return folders.error();
  }
  for (const store::DirEntry& folder : *folders) {
    if (!folder.is_dir || folder.name == kStreamsName) {
      continue;
    }
    const auto streams = fs.list(path + '/' + folder.name + '/' + kStreamsName);
    if (streams && std::any_of(streams->begin(), streams->end(), [](const store::DirEntry& each) {
          return each.is_dir;
        })) {
      return invalid_argument(fmt::format(
          "jetstream: store_dir {} holds streams of nats-server (in {}), which this broker cannot "
          "read; go on with nats-server, or give another folder",
          path,
          folder.name));
    }
  }
  return {};
}

// Who has it wrote that down, for people.
std::string owner_of(int fd) {
  char text[32] = {};
  const ssize_t got = ::pread(fd, text, sizeof text - 1, 0);
  return got > 0 ? std::string(text, static_cast<std::size_t>(got)) : "unknown";
}

}  // namespace

Result<StoreFolder> StoreFolder::look_at(const std::string& path) {
  const std::string name = path + "/" + kLockName;
  UniqueFd lock(::open(name.c_str(), O_RDONLY | O_CLOEXEC));
  if (!lock.valid() && errno != ENOENT) {
    return io_error(fmt::format("jetstream: cannot open {}: {}", name, std::strerror(errno)));
  }
  if (lock.valid() && ::flock(lock.get(), LOCK_SH | LOCK_NB) != 0) {
    return unavailable(fmt::format(
        "jetstream: {} is in use by process {}; stop that one first", path, owner_of(lock.get())));
  }
  return StoreFolder(path, std::move(lock));
}

std::string StoreFolder::streams_dir() const {
  return path_ + '/' + kStreamsName;
}

Result<StoreFolder> StoreFolder::open(const std::string& path, store::FileSystem& fs) {
  if (const Status made = make_all(path, fs); !made.ok()) {
    return made.with_context("jetstream: store_dir");
  }
  RETURN_IF_ERROR(refuse_other_streams(path, fs));
  const std::string name = path + "/" + kLockName;
  UniqueFd lock(::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
  if (!lock.valid()) {
    return io_error(fmt::format("jetstream: cannot open {}: {}", name, std::strerror(errno)));
  }
  if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) {
    return unavailable(fmt::format(
        "jetstream: store_dir {} is in use by process {}; stop that one, or give another folder",
        path,
        owner_of(lock.get())));
  }
  const std::string owner = std::to_string(::getpid());
  if (::ftruncate(lock.get(), 0) != 0 ||
      ::pwrite(lock.get(), owner.data(), owner.size(), 0) != static_cast<ssize_t>(owner.size())) {
    return io_error(fmt::format("jetstream: cannot write {}: {}", name, std::strerror(errno)));
  }
  return StoreFolder(path, std::move(lock));
}

std::string store_path(const std::string& configured) {
  if (!configured.empty()) {
    return configured + "/jetstream";
  }
  const char* const temporary = std::getenv("TMPDIR");  // NOLINT(concurrency-mt-unsafe): at start
  return std::string(temporary != nullptr && *temporary != '\0' ? temporary : "/tmp") +
         "/nats/jetstream";
}

}  // namespace feedvault::broker::jetstream
