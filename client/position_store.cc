#include "client/position_store.h"

#include <sys/stat.h>

#include <charconv>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "base/file.h"

namespace feedvault {
namespace {

// A file is one line, "events:4711 1f2e3d4c": the position and a checksum of it (FNV-1a). People
// may write one by hand and leave the checksum out. The line break at the end tells a whole file
// from one that was cut off.

constexpr std::size_t kFileBytesMax = 4096;

std::string checksum(std::string_view text) {
  std::uint32_t hash = 2166136261U;
  for (const char c : text) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 16777619U;
  }
  char hex[9];
  std::snprintf(hex, sizeof(hex), "%08x", static_cast<unsigned>(hash));
  return hex;
}

std::optional<std::uint64_t> read_position(std::string_view text, const std::string& feed) {
  if (!text.ends_with('\n')) {
    return std::nullopt;
  }
  text.remove_suffix(1);
  const std::size_t blank = text.find(' ');
  const std::string_view position = text.substr(0, blank);
  if (blank != std::string_view::npos && text.substr(blank + 1) != checksum(position)) {
    return std::nullopt;
  }
  if (!position.starts_with(feed + ":")) {
    return std::nullopt;
  }
  const std::string_view digits = position.substr(feed.size() + 1);
  std::uint64_t seq = 0;
  const char* const end = digits.data() + digits.size();
  const auto [after, error] = std::from_chars(digits.data(), end, seq);
  if (error != std::errc() || after != end) {
    return std::nullopt;
  }
  return seq;
}

class FilePositionStore final : public PositionStore {
 public:
  explicit FilePositionStore(std::string folder) : folder_(std::move(folder)) {}

  Result<std::optional<std::uint64_t>> load(const std::string& feed) override {
    const std::string path = path_of(feed);
    const auto text = read_file(path, kFileBytesMax);
    if (!text) {
      if (text.error().code() == StatusCode::kNotFound) {
        return std::optional<std::uint64_t>();
      }
      return text.error();
    }
    const auto seq = read_position(*text, feed);
    if (!seq) {
      return Status(StatusCode::kCorruption,
                    path + " is damaged: it should hold one line such as '" + feed +
                        ":4711'. Write the position there, or remove the file to start over");
    }
    return seq;
  }

  Status save(const std::string& feed, std::uint64_t seq) override {
    const std::string position = feed + ":" + std::to_string(seq);
    return replace_file(path_of(feed), position + " " + checksum(position) + "\n");
  }

 private:
  std::string path_of(const std::string& feed) const { return folder_ + "/" + feed + ".position"; }

  const std::string folder_;
};

}  // namespace

Result<std::unique_ptr<PositionStore>> open_file_position_store(const std::string& folder) {
  struct stat info {};
  if (::mkdir(folder.c_str(), 0777) != 0 && errno != EEXIST) {
    return io_error("cannot make the folder for positions " + folder + ": " + std::strerror(errno));
  }
  if (::stat(folder.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return invalid_argument(folder + " is not a folder: positions need one");
  }
  return std::unique_ptr<PositionStore>(std::make_unique<FilePositionStore>(folder));
}

}  // namespace feedvault
