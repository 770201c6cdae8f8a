// A stream's folder, its beginning and its end.
//
//   <dir>/<name>/stream.state    configuration and when it was made
//   <dir>/<name>/messages/       the log
//   <dir>/<name>/consumers/      the consumers' files
//   <dir>/<name>/ids             the duplicate window, where the stream was closed
//
// The state is written first and removed last: a folder without one holds nothing that anybody was
// promised. A deletion is durable once the state says "deleted"; what is left after that goes at
// the next start.

#include <algorithm>

#include "base/check.h"
#include "broker/streams/field_codec.h"
#include "broker/streams/stream_impl.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::string_view kStateName = "/stream.state";

// Fields of the state. On disk: do not renumber.
enum StateField : std::uint16_t {
  kStateCreated = 1,
  kStateConfig = 2,
  kStateDeleted = 3,
  kStateShowedUnsynced = 4,
};

/// Removes everything in a folder and the folder itself. Names become durable by the caller.
Status remove_tree(store::FileSystem& fs, const std::string& dir) {
  const auto entries = fs.list(dir);
  if (!entries.has_value()) {
    return entries.error().code() == StatusCode::kNotFound ? Status() : entries.error();
  }
  for (const store::DirEntry& entry : *entries) {
    const std::string path = dir + '/' + entry.name;
    Status status = entry.is_dir ? remove_tree(fs, path) : fs.remove(path);
    if (!status.ok() && status.code() != StatusCode::kNotFound) {
      return status;
    }
  }
  RETURN_IF_ERROR(fs.sync_dir(dir));
  const Status status = fs.remove(dir);
  return status.code() == StatusCode::kNotFound ? Status() : status;
}

}  // namespace

Stream::Impl::Impl(Stream& owner, const StreamOptions& options) : owner_(owner), options_(options) {
  CHECK(options.clock != nullptr && options.output != nullptr);
}

Stream::Impl::~Impl() {
  charge(0);
}

std::string Stream::Impl::state_text(bool deleted) const {
  FieldWriter out;
  out.put(kStateCreated, created_ns_);
  out.put(kStateConfig, encode_stream_config(config_));
  out.put(kStateDeleted, std::uint64_t{deleted ? 1U : 0U});
  out.put(kStateShowedUnsynced, std::uint64_t{showed_unsynced_ ? 1U : 0U});
  return out.take();
}

Status Stream::Impl::write_state(bool deleted) {
  return in_memory() ? Status()
                     : state_->write_snapshot(state_text(deleted), store::Promise::kSynced);
}

Status Stream::Impl::create(const StreamConfig& config) {
  config_ = config;
  created_ns_ = options_.clock->unix_ns();
  if (in_memory()) {
    memory_ = std::make_unique<MemoryFileSystem>();
    dir_ = "/stream";
    RETURN_IF_ERROR(memory_->make_dir(dir_));
    return open_log();
  }
  CHECK(options_.fs != nullptr);
  dir_ = options_.dir + '/' + config.name;
  showed_unsynced_ = options_.sync == SyncPolicy::kInterval;
  store::StateFile::Contents contents;
  RETURN_IF_ERROR(options_.fs->make_dir(dir_));
  RETURN_IF_ERROR(options_.fs->sync_dir(options_.dir));
  ASSIGN_OR_RETURN(state_,
                   store::StateFile::open(*options_.fs, dir_ + std::string(kStateName), contents));
  if (contents.generation != 0 || contents.damaged) {
    return {StatusCode::kDuplicate, "the folder " + dir_ + " holds a stream already"};
  }
  RETURN_IF_ERROR(write_state(false));
  return open_log();
}

Status Stream::Impl::open(const std::string& name) {
  CHECK(options_.fs != nullptr);
  dir_ = options_.dir + '/' + name;
  store::StateFile::Contents contents;
  ASSIGN_OR_RETURN(state_,
                   store::StateFile::open(*options_.fs, dir_ + std::string(kStateName), contents));
  if (contents.generation == 0) {
    const auto segments = options_.fs->list(dir_ + "/messages");
    if (contents.damaged || (segments.has_value() && !segments->empty())) {
      return {StatusCode::kCorruption,
              "the stream's configuration in " + dir_ + std::string(kStateName) +
                  (contents.damaged ? " is unreadable" : " is missing") +
                  "; restore it from a backup, or move the folder away"};
    }
    return not_found("no stream in " + dir_);
  }
  bool deleted = false;
  FieldReader in(contents.snapshot);
  while (const auto field = in.next()) {
    if (field->number == kStateCreated) {
      created_ns_ = field->signed_integer();
    } else if (field->number == kStateConfig) {
      ASSIGN_OR_RETURN(config_, decode_stream_config(field->bytes));
    } else if (field->number == kStateDeleted) {
      deleted = field->integer() != 0;
    } else if (field->number == kStateShowedUnsynced) {
      showed_unsynced_ = field->integer() != 0;
    }
  }
  if (deleted) {
    RETURN_IF_ERROR(remove_files());
    return not_found("the stream in " + dir_ + " was deleted");
  }
  if (!in.ok() || config_.name != name) {
    return {StatusCode::kCorruption,
            "the folder " + dir_ + " holds the configuration of another stream; move it away"};
  }
  RETURN_IF_ERROR(open_log());
  // From here on everything that is stored is synced, and the next run may rely on it; or not.
  if (const bool shows = options_.sync == SyncPolicy::kInterval; shows != showed_unsynced_) {
    showed_unsynced_ = shows;
    RETURN_IF_ERROR(write_state(false));
  }
  return {};
}

Status Stream::Impl::open_log() {
  acks_.emplace(config_.name, options_.domain);
  budget_ = in_memory() ? options_.memory_budget : options_.file_budget;
  RETURN_IF_ERROR(compile_transforms());
  store::LogOptions log = options_.log;
  log.first_seq = std::max<StreamSeq>(1, config_.first_seq);
  log.segment_bytes = segment_bytes();
  log.after_power_cut = showed_unsynced_ || options_.sync == SyncPolicy::kInterval
                            ? store::AfterPowerCut::kSkipReserved
                            : store::AfterPowerCut::kTrustSync;
  const std::unique_ptr<IdsFile> ids = begin_reading_ids();
  ASSIGN_OR_RETURN(log_,
                   store::MessageLog::open(files(), dir_ + "/messages", log, *options_.clock));
  // What a killed process wrote may be in memory only, and will be shown.
  RETURN_IF_ERROR(log_->sync());
  const store::LogState state = log_->counts();
  charge(bytes_in(state));
  last_time_ns_ = state.last_time_ns;
  appended_.seq = state.last_seq;
  appended_.time_ns = state.last_time_ns;
  flushed_ = appended_;
  visible_mark_ = appended_;
  visible_ = state.last_seq;
  // What limits and roll-ups had removed may be back where that was not durable yet.
  expire_old();
  if (!log_->recovery().clean) {
    enforce_subject_limits();
  }
  enforce_limits();
  RETURN_IF_ERROR(failure_);
  RETURN_IF_ERROR(remember_ids(ids.get()));
  return load_consumers();
}

/// Where messages die in the middle, segments are rewritten, in one go: those are smaller.
std::uint64_t Stream::Impl::segment_bytes() const {
  constexpr std::uint64_t kRewritten = 8U << 20U;
  constexpr std::uint64_t kInMemory = 4U << 20U;
  const bool rewritten = config_.max_msgs_per_subject > 0 || config_.allow_rollup_hdrs ||
                         config_.retention != Retention::kLimits;
  return std::min(options_.log.segment_bytes,
                  in_memory() ? kInMemory
                  : rewritten ? kRewritten
                              : options_.log.segment_bytes);
}

Status Stream::Impl::load_consumers() {
  if (!in_memory()) {
    consumers_dir_ = dir_ + "/consumers";
    RETURN_IF_ERROR(options_.fs->make_dir(consumers_dir_));
    RETURN_IF_ERROR(options_.fs->sync_dir(dir_));
  }
  if (options_.consumers) {
    ASSIGN_OR_RETURN(consumers_, options_.consumers(owner_));
  }
  settle_retention();
  return failure_;
}

Status Stream::Impl::compile_transforms() {
  transform_.reset();
  republish_.reset();
  if (config_.subject_transform.has_value() && !config_.subject_transform->destination.empty()) {
    ASSIGN_OR_RETURN(transform_, SubjectTransform::compile(*config_.subject_transform));
  }
  if (config_.republish.has_value()) {
    ASSIGN_OR_RETURN(
        republish_,
        SubjectTransform::compile({config_.republish->source, config_.republish->destination}));
  }
  return {};
}

/// Acknowledged messages that a power cut brought back go again: nobody would ever ask for them.
void Stream::Impl::settle_retention() {
  if (config_.retention == Retention::kLimits || consumers_ == nullptr ||
      consumers_->count() == 0) {
    return;
  }
  // Of a stream that was closed only what concerned consumers in memory may be left over.
  if (config_.retention == Retention::kWorkQueue && log_->recovery().clean) {
    return;
  }
  store::SubjectFilter all;
  std::string subject;
  for (StreamSeq seq = log_->next_matching(1, all); seq != 0 && failure_.ok();
       seq = log_->next_matching(seq + 1, all)) {
    const bool done = log_->subject_of(seq, subject) && (config_.retention == Retention::kInterest
                                                             ? !consumers_->needs(seq, subject)
                                                             : consumers_->is_done(seq, subject));
    if (done) {
      remove_done(seq);
    }
  }
}

std::optional<ApiError> Stream::Impl::begin_update(const StreamConfig& config) {
  CHECK(!next_.has_value());
  if (config.retention != Retention::kLimits && consumers_ != nullptr &&
      consumers_->wants_written()) {
    return make_error(errors::kStreamUpdate,
                      "a consumer with feedvault.deliver written needs limits retention");
  }
  StreamConfig before = std::exchange(config_, config);
  const Status compiled = compile_transforms();
  Update update{config, state_text(false), {}};
  config_ = std::move(before);
  CHECK(compile_transforms().ok());
  if (!compiled.ok()) {
    return make_error(errors::kStreamUpdate, compiled.message());
  }
  next_ = std::move(update);
  return std::nullopt;
}

void Stream::Impl::run_update() {
  if (memory_ == nullptr) {
    next_->stored = state_->write_snapshot(next_->text, store::Promise::kSynced);
  }
}

std::optional<ApiError> Stream::Impl::end_update() {
  const Update update = std::move(*std::exchange(next_, std::nullopt));
  if (!update.stored.ok()) {
    return make_error(errors::kStreamUpdate, "the new configuration cannot be stored: disk error");
  }
  const StreamConfig before = std::exchange(config_, update.config);
  CHECK(compile_transforms().ok());
  if (!republish_.has_value()) {
    to_republish_.clear();
  }
  ++room_made_;
  if (config_.max_msgs_per_subject > 0 &&
      (before.max_msgs_per_subject <= 0 ||
       config_.max_msgs_per_subject < before.max_msgs_per_subject)) {
    enforce_subject_limits();
  }
  enforce_limits();
  expire_old();
  if (!duplicates_.empty()) {
    forget_at_ = options_.clock->now();
  }
  if (consumers_ != nullptr) {
    consumers_->on_config_changed();
  }
  if (config_.retention == Retention::kInterest && before.retention == Retention::kLimits) {
    sweep(1);
  }
  // What the new limits removed, and a power cut brings back, they remove again at the start.
  unwritten_ = true;
  return std::nullopt;
}

/// Everything but the state, then the state, then the folder.
Status Stream::Impl::remove_files() {
  store::FileSystem& fs = *options_.fs;
  RETURN_IF_ERROR(remove_tree(fs, dir_ + "/messages"));
  RETURN_IF_ERROR(remove_tree(fs, dir_ + "/consumers"));
  RETURN_IF_ERROR(fs.sync_dir(dir_));
  state_.reset();
  RETURN_IF_ERROR(remove_tree(fs, dir_));
  return fs.sync_dir(options_.dir);
}

void Stream::Impl::begin_destroy() {
  CHECK(!committing_ && compaction_ == nullptr && !next_.has_value());
  if (failure_.ok()) {
    fail(Status(StatusCode::kCancelled, "the stream was deleted"),
         make_error(errors::kStreamNotFound));
  }
  if (consumers_ != nullptr) {
    consumers_->on_stream_deleted();
    consumers_.reset();
  }
}

Status Stream::Impl::run_destroy() {
  if (memory_ != nullptr) {
    return {};
  }
  RETURN_IF_ERROR(write_state(true));
  log_.reset();
  return remove_files();
}

Status Stream::Impl::close() {
  CHECK(!committing_ && compaction_ == nullptr && !next_.has_value());
  if (consumers_ != nullptr) {
    consumers_->on_shutdown();
  }
  if (!failure_.ok()) {
    return failure_;
  }
  save_ids();
  Status status = log_->close();
  if (status.ok()) {
    show(appended_);
    tell(want_durable_, {});
  }
  return status;
}

}  // namespace feedvault::broker::streams
