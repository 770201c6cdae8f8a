#include "broker/streams/streams.h"

#include <algorithm>

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

std::optional<ApiError> Streams::overlap(const StreamConfig& config) const {
  for (const auto& [name, stream] : streams_) {
    if (name == config.name) {
      continue;
    }
    for (const std::string& theirs : stream->config().subjects) {
      if (std::ranges::any_of(config.subjects, [&theirs](const std::string& ours) {
            return subjects_overlap(ours, theirs);
          })) {
        return make_error(errors::kSubjectOverlap);
      }
    }
  }
  return std::nullopt;
}

ApiResult<Streams::Created> Streams::create(StreamConfig config) {
  if (auto error = check_stream_config(config); error.has_value()) {
    return *error;
  }
  if (Stream* const existing = find(config.name); existing != nullptr) {
    if (existing->config() == config) {
      return Created{existing, true};
    }
    return make_error(errors::kStreamNameInUse);
  }
  if (auto error = overlap(config); error.has_value()) {
    return *error;
  }
  if (options_.streams_max > 0 && streams_.size() >= options_.streams_max) {
    return make_error(errors::kMaximumStreams);
  }
  if (std::ranges::find(unusable_, config.name, &Unusable::name) != unusable_.end()) {
    return make_error(errors::kStreamCreate,
                      "the folder of that name holds a damaged stream; see the server's log");
  }
  auto stream = Stream::create(config, options_.stream);
  if (!stream.has_value()) {
    return stream.error().code() == StatusCode::kExhausted
               ? make_error(errors::kStorageExceeded)
               : make_error(errors::kStreamCreate, "the stream cannot be stored: disk error");
  }
  Stream* const made = stream->get();
  streams_.emplace(config.name, std::move(*stream));
  options_.stream.output->advisory(StreamAction{config.name, Action::kCreate});
  return Created{made, false};
}

ApiResult<Stream*> Streams::update(StreamConfig config) {
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
  if (auto error = overlap(config); error.has_value()) {
    return *error;
  }
  if (auto error = stream->update(config); error.has_value()) {
    return *error;
  }
  options_.stream.output->advisory(StreamAction{config.name, Action::kModify});
  return stream;
}

std::optional<ApiError> Streams::remove(std::string_view name) {
  const auto found = streams_.find(name);
  if (found == streams_.end()) {
    return make_error(errors::kStreamNotFound);
  }
  const Status status = found->second->destroy();
  std::string removed = found->first;
  streams_.erase(found);
  options_.stream.output->advisory(StreamAction{removed, Action::kDelete});
  if (!status.ok()) {
    // Whatever is left keeps the name from being used until the next start has cleaned up.
    unusable_.push_back({std::move(removed), status});
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
