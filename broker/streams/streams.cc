#include "broker/streams/streams.h"

#include <algorithm>

#include "base/check.h"
#include "base/subject.h"

namespace feedvault::broker::streams {
namespace {

std::string parent_folder(const std::string& dir) {
  const std::size_t slash = dir.find_last_of('/');
  if (slash == std::string::npos) {
    return ".";
  }
  return slash == 0 ? "/" : dir.substr(0, slash);
}

}  // namespace

Result<std::unique_ptr<Streams>> Streams::open(const Options& options) {
  std::unique_ptr<Streams> streams(new Streams(options));
  RETURN_IF_ERROR(streams->open_all());
  return streams;
}

Status Streams::open_all() {
  const StreamOptions& each = options_.stream;
  CHECK(each.fs != nullptr);
  RETURN_IF_ERROR(each.fs->make_dir(each.dir));
  RETURN_IF_ERROR(each.fs->sync_dir(parent_folder(each.dir)));
  ASSIGN_OR_RETURN(const auto entries, each.fs->list(each.dir));
  for (const store::DirEntry& entry : entries) {
    if (!entry.is_dir || check_stream_name(entry.name).has_value()) {
      continue;
    }
    auto stream = Stream::open(entry.name, each);
    if (stream.has_value()) {
      streams_.emplace(entry.name, std::move(*stream));
    } else if (stream.error().code() != StatusCode::kNotFound) {
      unusable_.push_back({entry.name, stream.error()});
    }
  }
  return {};
}

bool Streams::overlaps_any(const StreamConfig& config) const {
  const auto overlaps = [&config](const StreamConfig& other) {
    return other.name != config.name &&
           std::ranges::any_of(other.subjects, [&](const auto& theirs) {
             return std::ranges::any_of(config.subjects, [&theirs](const std::string& ours) {
               return subjects_overlap(ours, theirs);
             });
           });
  };
  return std::ranges::any_of(streams_,
                             [&](const auto& each) {
                               const StreamConfig* const next = each.second->next_config();
                               return overlaps(each.second->config()) ||
                                      (next != nullptr && overlaps(*next));
                             }) ||
         std::ranges::any_of(creating_,
                             [&](const Creation* each) { return overlaps(each->config_); });
}

ApiResult<Streams::Created> Streams::create(StreamConfig config) {
  auto creation = begin_create(std::move(config));
  if (!creation.has_value()) {
    return creation.error();
  }
  if ((*creation)->outcome().has_value()) {
    return *(*creation)->outcome();
  }
  (*creation)->run();
  return end_create(**creation);
}

ApiResult<std::shared_ptr<Streams::Creation>> Streams::begin_create(StreamConfig config) {
  if (auto error = check_stream_config(config); error.has_value()) {
    return *error;
  }
  auto creation = std::make_shared<Creation>();
  if (Stream* const existing = find(config.name); existing != nullptr) {
    if (existing->config() == config) {
      creation->outcome_ = Created{existing, true};
      return creation;
    }
    return make_error(errors::kStreamNameInUse);
  }
  if (overlaps_any(config)) {
    return make_error(errors::kSubjectOverlap);
  }
  if (options_.streams_max > 0 && streams_.size() + creating_.size() >= options_.streams_max) {
    return make_error(errors::kMaximumStreams);
  }
  if (std::ranges::find(unusable_, config.name, &Unusable::name) != unusable_.end()) {
    return make_error(errors::kStreamCreate,
                      "the folder of that name holds a damaged stream; see the server's log");
  }
  const auto same_name = [&](const Creation* each) { return each->config_.name == config.name; };
  if (removing_.contains(config.name) || std::ranges::any_of(creating_, same_name)) {
    return make_error(errors::kStreamNameInUse);
  }
  creation->config_ = std::move(config);
  creation->options_ = options_.stream;
  creating_.push_back(creation.get());
  return creation;
}

void Streams::Creation::run() {
  made_ = Stream::create(config_, options_);
}

ApiResult<Streams::Created> Streams::end_create(Creation& creation) {
  std::erase(creating_, &creation);
  if (!creation.made_.has_value()) {
    return creation.made_.error().code() == StatusCode::kExhausted
               ? make_error(errors::kStorageExceeded)
               : make_error(errors::kStreamCreate, "the stream cannot be stored: disk error");
  }
  Stream* const made = creation.made_->get();
  const std::string& name = creation.config_.name;
  streams_.emplace(name, std::move(*creation.made_));
  options_.stream.output->advisory(StreamAction{name, Action::kCreate});
  return Created{made, false};
}

ApiResult<Stream*> Streams::update(const StreamConfig& config) {
  auto stream = begin_update(config);
  if (!stream.has_value()) {
    return stream;
  }
  (*stream)->run_update();
  return end_update(**stream);
}

ApiResult<Stream*> Streams::begin_update(const StreamConfig& asked) {
  StreamConfig config = asked;
  if (auto error = check_stream_name(config.name); error.has_value()) {
    return *error;
  }
  Stream* const stream = find(config.name);
  if (stream == nullptr) {
    return make_error(errors::kStreamNotFound);
  }
  if (auto error = check_stream_update(stream->config(), config); error.has_value()) {
    return *error;
  }
  if (overlaps_any(config)) {
    return make_error(errors::kSubjectOverlap);
  }
  if (auto error = stream->begin_update(config); error.has_value()) {
    return *error;
  }
  return stream;
}

ApiResult<Stream*> Streams::end_update(Stream& stream) {
  if (auto error = stream.end_update(); error.has_value()) {
    return *error;
  }
  options_.stream.output->advisory(StreamAction{stream.name(), Action::kModify});
  return &stream;
}

std::optional<ApiError> Streams::remove(std::string_view name) {
  if (find(name) == nullptr) {
    return make_error(errors::kStreamNotFound);
  }
  const auto removal = begin_remove(name);
  removal->run();
  return end_remove(*removal);
}

std::shared_ptr<Streams::Removal> Streams::begin_remove(std::string_view name) {
  const auto found = streams_.find(name);
  CHECK(found != streams_.end());
  auto removal = std::make_shared<Removal>();
  found->second->begin_destroy();
  removal->stream_ = std::move(found->second);
  streams_.erase(found);
  removing_.insert(removal->stream_->name());
  return removal;
}

std::optional<ApiError> Streams::end_remove(Removal& removal) {
  std::string name = removal.stream_->name();
  removal.stream_.reset();
  removing_.erase(name);
  options_.stream.output->advisory(StreamAction{name, Action::kDelete});
  if (!removal.status_.ok()) {
    // Whatever is left keeps the name from being used until the next start has cleaned up.
    unusable_.push_back({std::move(name), removal.status_});
    return make_error(errors::kStreamDelete, "the stream's files cannot be removed: disk error");
  }
  return std::nullopt;
}

Stream* Streams::find(std::string_view name) const {
  const auto found = streams_.find(name);
  return found == streams_.end() ? nullptr : found->second.get();
}

std::vector<Stream*> Streams::list(std::string_view filter) const {
  std::vector<Stream*> listed;
  for (const auto& [name, stream] : streams_) {
    if (filter.empty() ||
        std::ranges::any_of(stream->config().subjects, [filter](const std::string& subject) {
          return subjects_overlap(subject, filter);
        })) {
      listed.push_back(stream.get());
    }
  }
  return listed;
}

std::int64_t Streams::reserved_bytes(StorageType storage, std::string_view except) const {
  std::int64_t reserved = 0;
  const auto add = [&](const StreamConfig& config, std::int64_t next) {
    if (config.storage == storage && config.name != except) {
      reserved += std::max({std::int64_t{0}, config.max_bytes, next});
    }
  };
  for (const auto& [name, stream] : streams_) {
    const StreamConfig* const next = stream->next_config();
    add(stream->config(), next == nullptr ? 0 : next->max_bytes);
  }
  for (const Creation* const creation : creating_) {
    add(creation->config_, 0);
  }
  return reserved;
}

Status Streams::close() {
  Status first;
  for (const auto& [name, stream] : streams_) {
    if (const Status status = stream->close(); !status.ok() && first.ok()) {
      first = status.with_context("stream " + name);
    }
  }
  return first;
}

}  // namespace feedvault::broker::streams
