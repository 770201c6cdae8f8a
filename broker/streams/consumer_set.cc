#include "broker/streams/consumer_set.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "base/check.h"
#include "base/random.h"
#include "base/subject.h"
#include "broker/streams/consumer_update.h"
#include "broker/streams/stream.h"

namespace feedvault::broker::streams {
namespace {

constexpr std::string_view kFileEnd = ".state";
constexpr std::size_t kMadeNameBytes = 12;

/// "17.state" is 17; 0 for other names.
std::uint64_t file_number(std::string_view name) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  const std::size_t digits = static_cast<std::size_t>(end - name.data());
  return error == std::errc() && name.substr(digits) == kFileEnd ? number : 0;
}

}  // namespace

Result<std::unique_ptr<StreamConsumers>> ConsumerSet::open(Stream& stream) {
  std::unique_ptr<ConsumerSet> set(new ConsumerSet(stream));
  if (!stream.consumers_dir().empty()) {
    RETURN_IF_ERROR(set->open_all());
  }
  return std::unique_ptr<StreamConsumers>(std::move(set));
}

ConsumerSet::~ConsumerSet() = default;

Status ConsumerSet::open_all() {
  store::FileSystem& fs = *stream_.options().fs;
  const std::string& dir = stream_.consumers_dir();
  const Moment now = Moment::of(*stream_.options().clock);
  ASSIGN_OR_RETURN(auto entries, fs.list(dir));
  std::erase_if(entries, [](const store::DirEntry& entry) {
    return entry.is_dir || file_number(entry.name) == 0;
  });
  std::ranges::sort(entries, std::greater<>(), [](const store::DirEntry& entry) {
    return file_number(entry.name);
  });
  for (const store::DirEntry& entry : entries) {
    last_file_ = std::max(last_file_, file_number(entry.name));
    const std::string path = dir + '/' + entry.name;
    auto loaded = ConsumerFile::open(fs, path, now);
    if (!loaded.has_value()) {
      unusable_.push_back({path, loaded.error()});
      continue;
    }
    const std::string name = loaded->stored.config.name;
    if (consumers_.count(name) != 0) {
      // A newer one had its name, so this one was deleted, and only its file was not gone yet.
      static_cast<void>(loaded->file->remove(store::Promise::kWritten));
      continue;
    }
    if (loaded->damaged) {
      damaged_.push_back(name);
    }
    insert(std::make_unique<Consumer>(
        stream_, std::move(loaded->stored), std::move(*loaded->ledger), std::move(loaded->file)));
  }
  return {};
}

Consumer& ConsumerSet::insert(std::unique_ptr<Consumer> consumer) {
  Consumer& inserted = *consumer;
  consumers_[inserted.name()] = std::move(consumer);
  inserted.attach(*this, ++last_id_);
  if (inserted.config().delivers_written()) {
    early_.push_back(&inserted);
  }
  return inserted;
}

// --- The API ---

ApiResult<ConsumerSet::Created> ConsumerSet::create(ConsumerConfig config, CreateAction action) {
  const auto creation = begin_create(std::move(config), action);
  if (!creation->outcome()) {
    creation->run();
    return end_create(*creation);
  }
  if (creation->outcome()->has_value()) {
    Sync sync = begin_sync();
    sync.run();
    end_sync(sync);
  }
  return *creation->outcome();
}

std::shared_ptr<ConsumerSet::Creation> ConsumerSet::begin_create(ConsumerConfig config,
                                                                 CreateAction action) {
  CHECK(!creating_);
  auto creation = std::make_shared<Creation>();
  const auto settle_it = [&](ApiResult<Created> outcome) {
    creation->outcome_ = std::move(outcome);
    return creation;
  };
  if (config.name.empty()) {
    config.name = config.durable_name;
  }
  if (auto error = check_consumer_config(config, stream_.config()); error.has_value()) {
    return settle_it(*error);
  }
  if (config.name.empty()) {
    config.name = new_name();
  }
  if (Consumer* const existing = find(config.name); existing != nullptr) {
    if (config == existing->config()) {
      return settle_it(Created{existing, true});
    }
    return settle_it(action == CreateAction::kCreate ? make_error(errors::kConsumerExists)
                                                     : update(*existing, config));
  }
  if (action == CreateAction::kUpdate) {
    return settle_it(make_error(errors::kConsumerDoesNotExist));
  }
  if (stream_.config().max_consumers > 0 &&
      consumers_.size() >= static_cast<std::uint64_t>(stream_.config().max_consumers)) {
    return settle_it(make_error(errors::kMaximumConsumers));
  }
  if (auto error = check_against_others(config); error.has_value()) {
    return settle_it(*error);
  }
  const bool kept = !stream_.consumers_dir().empty() && !config.mem_storage;
  creation->consumer_ = std::make_unique<Consumer>(
      stream_, StoredConsumer{std::move(config), stream_.options().clock->unix_ns()});
  if (!kept) {
    return settle_it(end_create(*creation));
  }
  creation->path_ = new_path();
  creating_ = true;
  return creation;
}

void ConsumerSet::Creation::run() {
  stored_ = consumer_->keep_in(path_);
}

ApiResult<ConsumerSet::Created> ConsumerSet::end_create(Creation& creation) {
  const bool took_time = std::exchange(creating_, false);
  if (!creation.stored_.ok()) {
    return make_error(errors::kConsumerStoreFailed, creation.stored_.message());
  }
  Consumer& made = insert(std::move(creation.consumer_));
  if (took_time) {
    // It was not told of anything, and its time begins now.
    made.on_stream_config();
    made.on_removed(1, stream_.log().last_seq());
  }
  stream_.options().output->advisory(ConsumerAction{stream_.name(), made.name(), Action::kCreate});
  return Created{&made, false};
}

ApiResult<ConsumerSet::Created> ConsumerSet::update(Consumer& consumer,
                                                    const ConsumerConfig& config) {
  const bool bound = !consumer.config().is_pull() &&
                     stream_.options().output->has_interest(consumer.config().deliver_subject);
  if (auto error = check_consumer_update(consumer.config(), config, bound); error.has_value()) {
    return *error;
  }
  if (config.filters() != consumer.config().filters()) {
    if (auto error = check_against_others(config); error.has_value()) {
      return *error;
    }
  }
  const ConsumerConfig before = consumer.config();
  const Status status = consumer.update(config);
  if (!status.ok()) {
    return make_error(errors::kConsumerStoreFailed, status.message());
  }
  if (before.filters() != config.filters()) {
    stream_.sweep(1);
  }
  if (before.pause_until_ns != config.pause_until_ns) {
    const std::int64_t until_ns = config.pause_until_ns.value_or(0);
    stream_.options().output->advisory(ConsumerPaused{
        stream_.name(), consumer.name(), until_ns > stream_.options().clock->unix_ns(), until_ns});
  }
  return Created{&consumer, true, true};
}

/// On a workqueue each message is for one consumer.
std::optional<ApiError> ConsumerSet::check_against_others(const ConsumerConfig& config) const {
  if (stream_.config().retention != Retention::kWorkQueue) {
    return std::nullopt;
  }
  const std::vector<std::string> filters = config.filters();
  for (const auto& [name, other] : consumers_) {
    if (name == config.name) {
      continue;
    }
    if (filters.empty()) {
      return make_error(errors::kWorkQueueMultipleUnfiltered);
    }
    const std::vector<std::string> taken = other->config().filters();
    bool overlaps = taken.empty();
    for (const std::string& mine : filters) {
      for (const std::string& theirs : taken) {
        overlaps = overlaps || subjects_overlap(mine, theirs);
      }
    }
    if (overlaps) {
      return make_error(errors::kWorkQueueNotUnique);
    }
  }
  return std::nullopt;
}

std::optional<ApiError> ConsumerSet::remove(std::string_view name, Consumer::Done done) {
  Consumer* const consumer = find(name);
  if (consumer == nullptr) {
    return make_error(errors::kConsumerNotFound);
  }
  erase(*consumer, std::move(done));
  return std::nullopt;
}

std::optional<ApiError> ConsumerSet::remove(std::string_view name) {
  auto error = remove(name, {});
  Sync sync = begin_sync();
  sync.run();
  end_sync(sync);
  return error;
}

void ConsumerSet::erase(Consumer& consumer, Consumer::Done done) {
  const std::string name = consumer.name();
  const StreamSeq from = consumer.first_needed();
  const store::Promise promise =
      consumer.config().durable_name.empty() ? store::Promise::kWritten : store::Promise::kSynced;
  std::unique_ptr<ConsumerFile> file = consumer.destroy();
  settle();
  deadlines_.erase({deadline_of_[&consumer], &consumer});
  deadline_of_.erase(&consumer);
  drop(unflushed_, consumer);
  drop(unsynced_, consumer);
  drop(awaiting_, consumer);
  drop(early_, consumer);
  consumers_.erase(consumers_.find(name));
  stream_.options().output->advisory(ConsumerAction{stream_.name(), name, Action::kDelete});
  stream_.sweep(from);
  if (file != nullptr) {
    removals_.push_back({std::move(file), promise, std::move(done), {}});
  } else if (done) {
    done({});
  }
}

void ConsumerSet::drop(std::vector<Consumer*>& list, const Consumer& consumer) {
  list.erase(std::remove(list.begin(), list.end(), &consumer), list.end());
}

ApiResult<Consumer*> ConsumerSet::pause(std::string_view name,
                                        std::optional<std::int64_t> until_ns) {
  Consumer* const consumer = find(name);
  if (consumer == nullptr) {
    return make_error(errors::kConsumerNotFound);
  }
  ConsumerConfig config = consumer->config();
  config.pause_until_ns = until_ns;
  if (config != consumer->config()) {
    auto updated = update(*consumer, config);
    if (!updated.has_value()) {
      return updated.error();
    }
  }
  return consumer;
}

Consumer* ConsumerSet::find(std::string_view name) const {
  const auto found = consumers_.find(name);
  return found == consumers_.end() ? nullptr : found->second.get();
}

std::vector<Consumer*> ConsumerSet::list() const {
  std::vector<Consumer*> all;
  all.reserve(consumers_.size());
  for (const auto& [name, consumer] : consumers_) {
    all.push_back(consumer.get());
  }
  return all;
}

std::string ConsumerSet::new_name() const {
  constexpr std::string_view kLetters =
      "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
  std::string name;
  do {
    std::uint64_t random[2];
    fill_random(random, sizeof random);
    name.clear();
    for (std::size_t i = 0; i < kMadeNameBytes; ++i) {
      name.push_back(kLetters[random[i % 2] % kLetters.size()]);
      random[i % 2] /= kLetters.size();
    }
  } while (consumers_.count(name) != 0);
  return name;
}

std::string ConsumerSet::new_path() {
  return stream_.consumers_dir() + '/' + std::to_string(++last_file_) + std::string(kFileEnd);
}

void ConsumerSet::on_interest_changed(std::string_view deliver_subject) {
  for (const auto& [name, consumer] : consumers_) {
    if (consumer->config().deliver_subject == deliver_subject) {
      consumer->check_interest();
    }
  }
}

void ConsumerSet::on_receivers_ready() {
  for (Consumer* const consumer : std::exchange(awaiting_, {})) {
    consumer->on_receivers_ready();
  }
}

// --- State and time ---

/// Looks at those to whom something happened.
void ConsumerSet::settle() const {
  for (Consumer* const consumer : touched_) {
    consumer->settle();
    const std::int64_t deadline = consumer->next_deadline();
    const auto [known, added] = deadline_of_.try_emplace(consumer, deadline);
    if (added || known->second != deadline) {
      deadlines_.erase({known->second, consumer});
      deadlines_.insert({deadline, consumer});
      known->second = deadline;
    }
    if (consumer->needs_flush()) {
      unflushed_.push_back(consumer);
    }
  }
  touched_.clear();
}

void ConsumerSet::flush() {
  settle();
  flush(std::exchange(unflushed_, {}));
}

void ConsumerSet::flush_before_output() {
  std::vector<Consumer*> consumers = std::exchange(unflushed_, {});
  consumers.insert(consumers.end(), touched_.begin(), touched_.end());
  flush(consumers);
}

void ConsumerSet::flush(const std::vector<Consumer*>& consumers) {
  for (Consumer* const consumer : consumers) {
    if (!consumer->needs_flush()) {
      continue;
    }
    consumer->flush();
    if (consumer->unsynced() &&
        std::find(unsynced_.begin(), unsynced_.end(), consumer) == unsynced_.end()) {
      unsynced_.push_back(consumer);
    }
    if (consumer->needs_flush() && consumer->failure().ok()) {
      unflushed_.push_back(consumer);  // the disk is full
    }
  }
}

std::size_t ConsumerSet::failed_count() const {
  return static_cast<std::size_t>(std::ranges::count_if(
      consumers_, [](const auto& each) { return !each.second->failure().ok(); }));
}

bool ConsumerSet::wants_sync() const {
  if (!removals_.empty()) {
    return true;
  }
  const std::int64_t now_ns = Moment::of(*stream_.options().clock).steady_ns;
  return std::any_of(unsynced_.begin(), unsynced_.end(), [&](const Consumer* each) {
    return each->wants_sync(now_ns);
  });
}

ConsumerSet::Sync ConsumerSet::begin_sync() {
  flush();
  Sync sync;
  for (Consumer* const consumer : unsynced_) {
    sync.all_.push_back({consumer->name(), consumer->id(), consumer->begin_sync(), {}});
  }
  sync.removals_ = std::exchange(removals_, {});
  return sync;
}

void ConsumerSet::Sync::run() {
  for (One& each : all_) {
    each.result = each.sync.run();
  }
  for (Removal& each : removals_) {
    each.result = each.file->remove(each.promise);
  }
}

void ConsumerSet::end_sync(Sync& sync) {
  for (const Removal& each : std::exchange(sync.removals_, {})) {
    if (each.done) {
      // A file that cannot be removed comes back with the next start, as what it was.
      each.done(each.result);
    }
  }
  for (const Sync::One& each : sync.all_) {
    Consumer* const consumer = find(each.consumer);
    if (consumer != nullptr && consumer->id() == each.id) {
      consumer->end_sync(each.sync, each.result);
      if (!consumer->unsynced()) {
        drop(unsynced_, *consumer);
      }
    }
  }
}

SteadyTime ConsumerSet::next_deadline() const {
  settle();
  if (deadlines_.empty() || deadlines_.begin()->first == kNoDeadline) {
    return SteadyTime::max();
  }
  return SteadyTime(std::chrono::nanoseconds(deadlines_.begin()->first));
}

void ConsumerSet::on_timer() {
  settle();
  const std::int64_t now_ns = Moment::of(*stream_.options().clock).steady_ns;
  std::vector<Consumer*> due;
  for (const auto& [deadline, consumer] : deadlines_) {
    if (deadline > now_ns) {
      break;
    }
    due.push_back(consumer);
  }
  for (Consumer* const consumer : due) {
    if (consumer->on_timer() == Consumer::Fate::kInactive) {
      erase(*consumer, {});
    }
  }
}

// --- What the stream does ---

void ConsumerSet::on_visible() {
  for (const auto& [name, consumer] : consumers_) {
    if (!consumer->config().delivers_written()) {
      consumer->on_visible();
    }
  }
}

void ConsumerSet::on_written() {
  for (Consumer* const consumer : early_) {
    consumer->on_visible();
  }
}

void ConsumerSet::on_removed(StreamSeq first, StreamSeq last) {
  for (const auto& [name, consumer] : consumers_) {
    consumer->on_removed(first, last);
  }
}

void ConsumerSet::on_config_changed() {
  for (const auto& [name, consumer] : consumers_) {
    consumer->on_stream_config();
  }
}

void ConsumerSet::on_stream_deleted() {
  for (const auto& [name, consumer] : consumers_) {
    consumer->destroy();  // the files go with the folder
  }
}

void ConsumerSet::on_shutdown() {
  for (const auto& [name, consumer] : consumers_) {
    static_cast<void>(consumer->close());
  }
  Sync removals;
  removals.removals_ = std::exchange(removals_, {});
  removals.run();
  end_sync(removals);
}

bool ConsumerSet::wants(std::string_view subject) const {
  return !unusable_.empty() ||
         std::any_of(consumers_.begin(), consumers_.end(), [&](const auto& each) {
           return each.second->matches(subject);
         });
}

// What an unreadable consumer has not seen, nobody knows.
bool ConsumerSet::needs(StreamSeq seq, std::string_view subject) const {
  return !unusable_.empty() ||
         std::any_of(consumers_.begin(), consumers_.end(), [&](const auto& each) {
           return each.second->matches(subject) && each.second->needs(seq);
         });
}

bool ConsumerSet::is_done(StreamSeq seq, std::string_view subject) const {
  return std::any_of(consumers_.begin(), consumers_.end(), [&](const auto& each) {
    return each.second->matches(subject) && each.second->is_done(seq);
  });
}

ConsumerSet& consumers_of(Stream& stream) {
  auto* const set = dynamic_cast<ConsumerSet*>(stream.consumers());
  CHECK(set != nullptr);
  return *set;
}

}  // namespace feedvault::broker::streams
