#include "base/file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/unique_fd.h"

namespace feedvault {
namespace {

Status errno_status(const std::string& what, int error) {
  return {error == ENOENT ? StatusCode::kNotFound : StatusCode::kIo,
          what + ": " + std::strerror(error)};
}

Status write_all(int fd, std::string_view text, const std::string& path) {
  while (!text.empty()) {
    const ssize_t n = ::write(fd, text.data(), text.size());
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return errno_status("write " + path, errno);
    }
    text.remove_prefix(static_cast<std::size_t>(n));
  }
  return {};
}

}  // namespace

Result<std::string> read_file(const std::string& path, std::size_t bytes_max) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) {
    return errno_status("open " + path, errno);
  }
  std::string text;
  char buffer[16384];
  for (;;) {
    const ssize_t n = ::read(fd.get(), buffer, sizeof buffer);
    if (n < 0 && errno == EINTR) {
      continue;
    }
    if (n < 0) {
      return errno_status("read " + path, errno);
    }
    if (n == 0) {
      return text;
    }
    if (text.size() + static_cast<std::size_t>(n) > bytes_max) {
      return Status(StatusCode::kExhausted,
                    path + " is larger than " + std::to_string(bytes_max) + " bytes");
    }
    text.append(buffer, static_cast<std::size_t>(n));
  }
}

Status replace_file(const std::string& path, std::string_view text) {
  const std::string temporary = path + ".new";
  {
    const UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!fd.valid()) {
      return errno_status("open " + temporary, errno);
    }
    RETURN_IF_ERROR(write_all(fd.get(), text, temporary));
    // The rename may reach the disk before the bytes do: without this fsync a power cut leaves an
    // empty file under the final name.
    if (::fsync(fd.get()) != 0) {
      return errno_status("fsync " + temporary, errno);
    }
  }
  if (std::rename(temporary.c_str(), path.c_str()) != 0) {
    return errno_status("rename " + temporary, errno);
  }
  const std::size_t slash = path.rfind('/');
  const std::string folder =
      slash == std::string::npos ? "." : (slash == 0 ? "/" : path.substr(0, slash));
  const UniqueFd dir(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!dir.valid() || ::fsync(dir.get()) != 0) {
    return errno_status("fsync " + folder, errno);
  }
  return {};
}

}  // namespace feedvault
