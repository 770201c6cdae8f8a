// The duplicate window across a restart. A clean stop writes it into a file, which is worth nothing
// once another message is stored: then, and whenever it is not whole, the ids are read from the
// messages again. So it need not be durable, and nobody has to remove it.

#include <algorithm>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "broker/store/crc32c.h"
#include "broker/store/format.h"
#include "broker/streams/ids_file.h"
#include "broker/streams/stream_impl.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::string_view kIdsName = "/ids";

}  // namespace

//   0  magic  8 | checksum of what follows  4 | bytes of the last id  4
//  16  when the stream was made  8 | last number  8 | the last id | the window
void Stream::Impl::save_ids() {
  if (in_memory() || (log_->counts().with_headers == 0 && duplicates_.empty())) {
    return;
  }
  std::string text(IdsFile::kHeadBytes, '\0');
  IdsFile::kMagic.copy(text.data(), IdsFile::kMagic.size());
  store::put(text.data() + 12, static_cast<std::uint32_t>(last_message_id_.size()));
  store::put(text.data() + 16, static_cast<std::uint64_t>(created_ns_));
  store::put(text.data() + 24, log_->last_seq());
  text += last_message_id_;
  duplicates_.save(text);
  store::put(text.data() + IdsFile::kChecksumAt,
             store::crc32c(0, std::string_view(text).substr(IdsFile::kCheckedFrom)));
  const auto file = options_.fs->create(dir_ + std::string(kIdsName));
  if (file.has_value()) {
    // Not whole: then it is of no use, and its checksum says so.
    static_cast<void>((*file)->write_at(0, text));
  }
}

/// In the background, while the log is opened. Nothing for a stream without files.
std::unique_ptr<IdsFile> Stream::Impl::begin_reading_ids() {
  return in_memory() ? nullptr
                     : std::make_unique<IdsFile>(*options_.fs, dir_ + std::string(kIdsName));
}

/// False: there is none that fits.
bool Stream::Impl::load_ids(IdsFile* file, std::int64_t since_ns) {
  if (file == nullptr || !log_->recovery().clean) {
    return false;
  }
  IdsFile::Contents contents = file->take();
  std::string_view text = contents.text;
  if (text.empty()) {
    return false;
  }
  const auto id_bytes = store::load<std::uint32_t>(text.data() + 12);
  if (store::load<std::uint64_t>(text.data() + 16) != static_cast<std::uint64_t>(created_ns_) ||
      store::load<std::uint64_t>(text.data() + 24) != log_->last_seq() ||
      id_bytes > text.size() - IdsFile::kHeadBytes) {
    return false;
  }
  text.remove_prefix(IdsFile::kHeadBytes);
  std::string last_id(text.substr(0, id_bytes));
  text.remove_prefix(id_bytes);
  if (!duplicates_.load({std::move(contents.bytes), text}, since_ns)) {
    return false;
  }
  last_message_id_ = std::move(last_id);
  return true;
}

/// What was in the duplicate window: as the last run left it, or else as the messages say.
Status Stream::Impl::remember_ids(IdsFile* file) {
  const std::int64_t since = options_.clock->unix_ns() - config_.duplicate_window_ns;
  if (load_ids(file, since)) {
    if (!duplicates_.empty()) {
      forget_at_ = steady(duplicates_.next_to_go_ns() + config_.duplicate_window_ns);
    }
    return {};
  }
  if (log_->counts().with_headers == 0) {
    return {};  // no ids: nothing need be read
  }
  ASSIGN_OR_RETURN(const StreamSeq first, log_->seq_at_time(since));
  store::MessageReader reader(*log_, std::min(first, visible_));
  duplicates_.reserve(
      static_cast<std::size_t>(std::min(log_->counts().with_headers, visible_ + 1 - first)));
  for (;;) {
    ASSIGN_OR_RETURN(const auto message, reader.next(visible_));
    if (!message.has_value()) {
      break;
    }
    const PublishHeaders headers = read_publish_headers(message->headers);
    last_message_id_.assign(headers.message_id);
    if (!headers.message_id.empty() && message->time_ns >= since &&
        config_.duplicate_window_ns > 0) {
      duplicates_.add(headers.message_id, message->seq, message->time_ns);
    }
  }
  if (!duplicates_.empty()) {
    forget_at_ = steady(duplicates_.next_to_go_ns() + config_.duplicate_window_ns);
  }
  return {};
}

}  // namespace feedvault::broker::streams
