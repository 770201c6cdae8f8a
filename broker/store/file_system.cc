#include "broker/store/file_system.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "base/file.h"
#include "base/unique_fd.h"

namespace feedvault::broker::store {
namespace {

Status failed(std::string_view what, const std::string& path) {
  const int error = errno;
  StatusCode code = StatusCode::kIo;
  if (error == ENOENT) {
    code = StatusCode::kNotFound;
  } else if (error == ENOSPC || error == EDQUOT) {
    code = StatusCode::kExhausted;
  }
  return {code, std::string(what) + ' ' + path + ": " + std::strerror(error)};
}

class RealFile final : public File {
 public:
  RealFile(UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Result<std::size_t> read_at(std::uint64_t offset, std::span<char> buffer) const override {
    std::size_t done = 0;
    while (done < buffer.size()) {
      const ssize_t n = ::pread(
          fd_.get(), buffer.data() + done, buffer.size() - done, static_cast<off_t>(offset + done));
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n < 0) {
        return failed("read", path_);
      }
      if (n == 0) {
        break;
      }
      done += static_cast<std::size_t>(n);
    }
    return done;
  }

  Status write_at(std::uint64_t offset, std::string_view bytes) override {
    while (!bytes.empty()) {
      const ssize_t n = ::pwrite(fd_.get(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n < 0) {
        return failed("write", path_);
      }
      bytes.remove_prefix(static_cast<std::size_t>(n));
      offset += static_cast<std::uint64_t>(n);
    }
    return {};
  }

  Status reserve(std::uint64_t begin, std::uint64_t end) override {
    const auto from = static_cast<off_t>(begin);
    int result = 0;
    do {
      result = ::fallocate(fd_.get(), 0, from, static_cast<off_t>(end) - from);
    } while (result != 0 && errno == EINTR);
    return result != 0 && (errno == ENOSPC || errno == EDQUOT) ? failed("reserve room in", path_)
                                                               : Status();
  }

  Result<std::uint64_t> size() const override {
    struct stat info {};
    if (::fstat(fd_.get(), &info) != 0) {
      return failed("stat", path_);
    }
    return static_cast<std::uint64_t>(info.st_size);
  }

  Status truncate(std::uint64_t size) override {
    if (::ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) {
      return failed("truncate", path_);
    }
    return {};
  }

  Status sync() override {
    if (::fdatasync(fd_.get()) != 0) {
      // Also when the disk is full: what was lost is not known, so it is no kExhausted.
      const Status status = failed("fdatasync", path_);
      return {StatusCode::kIo, status.message()};
    }
    return {};
  }

 private:
  UniqueFd fd_;
  std::string path_;
};

class RealFileSystem : public FileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path) override {
    return open_with(path, O_RDWR | O_CLOEXEC);
  }

  Result<std::unique_ptr<File>> create(const std::string& path) override {
    return open_with(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC);
  }

  Result<std::vector<DirEntry>> list(const std::string& dir) override {
    DIR* const handle = ::opendir(dir.c_str());
    if (handle == nullptr) {
      return failed("open folder", dir);
    }
    std::vector<DirEntry> entries;
    errno = 0;
    while (const dirent* entry = ::readdir(handle)) {
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") {
        entries.push_back({std::string(name), is_folder(dir, *entry)});
      }
    }
    const int error = errno;
    ::closedir(handle);
    if (error != 0) {
      errno = error;
      return failed("read folder", dir);
    }
    std::ranges::sort(entries, {}, &DirEntry::name);
    return entries;
  }

  Status rename(const std::string& from, const std::string& to) override {
    return std::rename(from.c_str(), to.c_str()) == 0 ? Status() : failed("rename", from);
  }

  Status remove(const std::string& path) override {
    return std::remove(path.c_str()) == 0 ? Status() : failed("remove", path);
  }

  Status make_dir(const std::string& dir) override {
    return ::mkdir(dir.c_str(), 0755) == 0 || errno == EEXIST ? Status()
                                                              : failed("make folder", dir);
  }

  Status sync_dir(const std::string& dir) override {
    const UniqueFd fd(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!fd.valid()) {
      return failed("open folder", dir);
    }
    if (::fsync(fd.get()) != 0) {
      const Status status = failed("fsync folder", dir);
      return {StatusCode::kIo, status.message()};
    }
    return {};
  }

  std::string incarnation() override {
    const auto text = read_file("/proc/sys/kernel/random/boot_id", 256);
    return text.has_value() ? text->substr(0, text->find('\n')) : std::string();
  }

 protected:
  static Result<std::unique_ptr<File>> open_with(const std::string& path, int flags) {
    UniqueFd fd(::open(path.c_str(), flags, 0644));
    if (!fd.valid()) {
      return failed("open", path);
    }
    return std::unique_ptr<File>(std::make_unique<RealFile>(std::move(fd), path));
  }

 private:
  static bool is_folder(const std::string& dir, const dirent& entry) {
    if (entry.d_type != DT_UNKNOWN) {
      return entry.d_type == DT_DIR;
    }
    struct stat info {};
    const std::string path = dir + '/' + entry.d_name;
    return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
  }
};

class ReadOnlyFileSystem final : public RealFileSystem {
 public:
  Result<std::unique_ptr<File>> open(const std::string& path) override {
    return open_with(path, O_RDONLY | O_CLOEXEC);
  }
  Result<std::unique_ptr<File>> create(const std::string& path) override { return refused(path); }
  Status rename(const std::string& from, const std::string& /*to*/) override {
    return refused(from);
  }
  Status remove(const std::string& path) override { return refused(path); }
  Status make_dir(const std::string& dir) override { return refused(dir); }

 private:
  static Status refused(const std::string& path) {
    return {StatusCode::kIo, path + " is only looked at, not changed"};
  }
};

}  // namespace

FileSystem& real_file_system() {
  static RealFileSystem file_system;
  return file_system;
}

FileSystem& read_only_file_system() {
  static ReadOnlyFileSystem file_system;
  return file_system;
}

}  // namespace feedvault::broker::store
