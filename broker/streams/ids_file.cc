#include "broker/streams/ids_file.h"

#include <cstdint>
#include <system_error>
#include <utility>

#include "broker/store/crc32c.h"
#include "broker/store/format.h"

namespace feedvault::broker::streams {
namespace {

// Smaller ones are read sooner than a thread starts.
constexpr std::size_t kLargeFile = 1U << 20U;

}  // namespace

IdsFile::IdsFile(store::FileSystem& fs, const std::string& path) {
  auto file = fs.open(path);
  if (!file.has_value()) {
    return;
  }
  const auto size = (*file)->size();
  if (!size.has_value() || *size < kHeadBytes) {
    return;
  }
  file_ = std::move(*file);
  size_ = static_cast<std::size_t>(*size);
  if (size_ < kLargeFile) {
    return;  // take() reads it
  }
  try {
    thread_ = std::thread([this] { read(); });
  } catch (const std::system_error&) {
    return;  // no thread to be had: likewise
  }
}

IdsFile::~IdsFile() {
  if (thread_.joinable()) {
    thread_.join();
  }
}

IdsFile::Contents IdsFile::take() {
  if (thread_.joinable()) {
    thread_.join();
  } else if (file_ != nullptr) {
    read();
  }
  file_.reset();
  return std::move(contents_);
}

void IdsFile::read() {
  // Not zeroed first: it may be large.
  auto bytes = std::make_unique_for_overwrite<char[]>(size_);
  const auto got = file_->read_at(0, {bytes.get(), size_});
  const std::string_view text(bytes.get(), size_);
  if (got.has_value() && *got == size_ && text.substr(0, kMagic.size()) == kMagic &&
      store::load<std::uint32_t>(text.data() + kChecksumAt) ==
          store::crc32c(0, text.substr(kCheckedFrom))) {
    contents_ = {std::move(bytes), text};
  }
}

}  // namespace feedvault::broker::streams
