#include "broker/jetstream/service.h"

#include <algorithm>

#include <fmt/format.h>

#include "base/check.h"
#include "base/log.h"
#include "base/random.h"
#include "broker/jetstream/advisories.h"
#include "broker/jetstream/pull_json.h"
#include "broker/jetstream/service_log.h"
#include "broker/streams/ack_payload.h"
#include "broker/streams/ack_subject.h"
#include "broker/streams/consumer_set.h"

namespace feedvault::broker::jetstream {

using streams::Stream;

namespace {

constexpr std::string_view kApiPrefix = "$JS.API.";

// What our subscriptions are for; above these a tag is the address of a stream's entry.
constexpr std::uint64_t kApiTag = 1;
constexpr std::uint64_t kDomainApiTag = 2;
constexpr std::uint64_t kAckTag = 3;
constexpr std::uint64_t kFlowControlTag = 4;
constexpr std::uint64_t kLastFixedTag = kFlowControlTag;

// Syncs of different streams go on side by side; more would only queue up at the disk.
constexpr std::size_t kSyncThreads = 4;
// One for the compaction, which is long, and one for what clients ask for.
constexpr std::size_t kChoreThreads = 2;
// Between warnings about publishes that were refused.
constexpr auto kWarningInterval = std::chrono::seconds(10);
// At a stop: messages that a full stream does not take are given up after this.
constexpr auto kGiveUpTime = std::chrono::seconds(2);

std::string random_text() {
  std::uint64_t number = 0;
  fill_random(&number, sizeof number);
  return fmt::format("{:016X}", number);
}

}  // namespace

Result<std::unique_ptr<Service>> Service::open(StreamHost& host,
                                               const JetStreamOptions& options,
                                               store::FileSystem& fs) {
  ASSIGN_OR_RETURN(StoreFolder folder, StoreFolder::open(store_path(options.store_dir), fs));
  std::unique_ptr<Service> service(new Service(host, options, std::move(folder)));
  RETURN_IF_ERROR(service->open_streams(fs));
  return service;
}

Service::Service(StreamHost& host, const JetStreamOptions& options, StoreFolder folder)
    : host_(host), options_(options), folder_(std::move(folder)), advisory_prefix_(random_text()) {
  if (options.max_file >= 0) {
    file_budget_.emplace(static_cast<std::uint64_t>(options.max_file));
  }
  if (options.max_memory >= 0) {
    memory_budget_.emplace(static_cast<std::uint64_t>(options.max_memory));
  }
}

Service::~Service() {
  chores_.reset();
  threads_.reset();
}

Status Service::open_streams(store::FileSystem& fs) {
  const SteadyTime began = host_.clock().now();
  streams::Streams::Options options;
  options.stream.dir = folder_.streams_dir();
  options.stream.fs = &fs;
  options.stream.clock = &host_.clock();
  options.stream.output = this;
  options.stream.domain = options_.domain;
  options.stream.file_budget = file_budget_ ? &*file_budget_ : nullptr;
  options.stream.memory_budget = memory_budget_ ? &*memory_budget_ : nullptr;
  options.stream.consumers = streams::ConsumerSet::open;
  if (options_.sync_interval) {
    options.stream.sync = streams::SyncPolicy::kInterval;
    options.stream.sync_interval = *options_.sync_interval;
  }
  threads_ = std::make_unique<SyncThreads>(kSyncThreads, [this](std::shared_ptr<SyncJob> job) {
    host_.post([this, job = std::move(job)] { synced(job); });
  });
  chores_ = std::make_unique<SyncThreads>(kChoreThreads, [this](std::shared_ptr<SyncJob> job) {
    host_.post([this, job = std::move(job)] { chore_done(job); });
  });
  ASSIGN_OR_RETURN(streams_, streams::Streams::open(options));
  api_ = std::make_unique<Api>(
      *streams_, *this, *this, Api::Limits{options_.max_memory, options_.max_file});
  host_.subscribe("$JS.API.>", kApiTag, StreamHost::Captures::kNo);
  if (!options_.domain.empty()) {
    api_prefix_ = "$JS." + options_.domain + ".API.";
    host_.subscribe(api_prefix_ + ">", kDomainApiTag, StreamHost::Captures::kNo);
  }
  host_.subscribe("$JS.ACK.>", kAckTag, StreamHost::Captures::kNo);
  host_.subscribe("$JS.FC.>", kFlowControlTag, StreamHost::Captures::kNo);
  std::uint64_t messages = 0;
  for (Stream* const stream : streams_->list()) {
    log_recovery(*stream);
    log_consumers(*stream);
    messages += stream->state().messages;
    stream_created(*stream);
  }
  for (const streams::Streams::Unusable& each : streams_->unusable()) {
    logger("streams")->error(
        "unusable stream={} error=\"{}\"; left as it is", each.name, each.why.message());
  }
  logger("streams")->info(
      "serving store_dir={} streams={} messages={} sync={} opened_ms={}",
      folder_.path(),
      streams_->size(),
      messages,
      options_.sync_interval ? "interval" : "always",
      std::chrono::duration_cast<std::chrono::milliseconds>(host_.clock().now() - began).count());
  if (options_.sync_interval) {
    logger("streams")->warn(
        "acknowledged messages of the last {} ms may be lost in a power cut; "
        "sync = \"always\" prevents that",
        std::chrono::ceil<std::chrono::milliseconds>(*options_.sync_interval).count());
  }
  return {};
}

// --- which streams there are ---

Service::Served& Service::served(Stream& stream) {
  const auto found = served_.find(&stream);
  CHECK(found != served_.end());
  return *found->second;
}

void Service::stream_created(Stream& stream) {
  auto made = std::make_unique<Served>();
  made->stream = &stream;
  Served& entry = *made;
  served_.emplace(&stream, std::move(made));
  listen(entry);
  touch(entry);
}

void Service::listen(Served& entry) {
  entry.subjects = entry.stream->config().subjects;
  entry.subscriptions = host_.resubscribe(entry.subscriptions,
                                          entry.subjects,
                                          reinterpret_cast<std::uint64_t>(&entry),
                                          StreamHost::Captures::kYes);
}

void Service::stop_listening(Served& entry) {
  for (const std::uint64_t subscription : entry.subscriptions) {
    host_.unsubscribe(subscription);
  }
  entry.subscriptions.clear();
}

void Service::stream_updated(Stream& stream) {
  Served& entry = served(stream);
  if (entry.subjects != stream.config().subjects) {
    listen(entry);
  }
  touch(entry);
}

void Service::stream_removed(Stream& stream, std::function<void()> then) {
  Served& entry = served(stream);
  stop_listening(entry);
  entry.retired = std::move(then);
  retire(entry);
}

/// Unless something of it is on its way to the disk.
void Service::retire(Served& entry) {
  if (!entry.retired || entry.syncing != nullptr || entry.compacting) {
    return;
  }
  for (const auto& [connection, publisher] : entry.held) {
    host_.release(publisher);
  }
  for (const std::string& subject : entry.watched) {
    host_.unwatch_interest(subject);
  }
  std::erase(touched_, &entry);
  deadlines_.erase({entry.deadline, &entry});
  count(*entry.stream, gone_);
  const std::function<void()> then = std::move(entry.retired);
  served_.erase(entry.stream);
  then();
}

void Service::touched(Stream& stream) {
  touch(served(stream));
}

void Service::touch(Served& entry) {
  if (!entry.touched) {
    entry.touched = true;
    touched_.push_back(&entry);
  }
}

// --- what arrives ---

void Service::on_message(std::uint64_t tag, const Arrival& arrival) {
  if (ended_) {
    return;
  }
  if (tag > kLastFixedTag) {
    store(*reinterpret_cast<Served*>(tag), arrival);
  } else if (tag == kAckTag) {
    on_ack(arrival);
  } else if (tag == kFlowControlTag) {
    on_flow_control(arrival);
  } else {
    const std::size_t prefix = tag == kApiTag ? kApiPrefix.size() : api_prefix_.size();
    api_->handle(arrival.subject.substr(prefix), arrival);
  }
}

void Service::store(Served& entry, const Arrival& arrival) {
  touch(entry);
  if (!entry.held.empty() && entry.held.count(arrival.from.connection) > 0) {
    set_aside(entry, arrival);  // behind what the same client published before
    return;
  }
  const auto outcome =
      entry.stream->store({arrival.subject, arrival.reply, arrival.headers, arrival.payload});
  if (outcome == Stream::Outcome::kHold) {
    set_aside(entry, arrival);
  } else if (outcome == Stream::Outcome::kRefused && arrival.reply.empty()) {
    ++refused_;
    const std::string& why = entry.stream->last_refusal().description;
    host_.refuse(arrival.from, arrival.subject, why);
    if (const SteadyTime now = host_.clock().now(); now >= next_warning_) {
      next_warning_ = now + kWarningInterval;
      logger("streams")->warn(
          "refused publishes without a reply stream={} refused_total={} why=\"{}\"",
          entry.stream->name(),
          refused_,
          why);
    }
  }
}

void Service::set_aside(Served& entry, const Arrival& arrival) {
  entry.set_aside.push_back({std::string(arrival.subject),
                             std::string(arrival.reply),
                             std::string(arrival.headers),
                             std::string(arrival.payload),
                             arrival.from});
  if (entry.held.emplace(arrival.from.connection, arrival.from).second) {
    if (entry.set_aside.size() == 1) {
      logger("streams")->warn("holding publishers back stream={} why=\"{}\"",
                              entry.stream->name(),
                              entry.stream->last_refusal().description);
    }
    host_.hold(arrival.from);
  }
}

void Service::offer_again(Served& entry) {
  while (!entry.set_aside.empty() && entry.stream->accepts()) {
    const SetAside& first = entry.set_aside.front();
    const auto outcome =
        entry.stream->store({first.subject, first.reply, first.headers, first.payload});
    if (outcome == Stream::Outcome::kHold) {
      return;
    }
    entry.set_aside.pop_front();
  }
  if (entry.set_aside.empty() && !entry.held.empty()) {
    for (const auto& [connection, publisher] : entry.held) {
      host_.release(publisher);
    }
    entry.held.clear();
    logger("streams")->info("going on with publishers stream={}", entry.stream->name());
  }
}

// Who acknowledges to somebody that is not there hears, if he asked, that nobody answers.
void Service::on_ack(const Arrival& arrival) {
  const auto subject = streams::parse_ack_subject(arrival.subject);
  Stream* const stream = subject ? streams_->find(subject->stream) : nullptr;
  streams::Consumer* const consumer =
      stream == nullptr ? nullptr : streams::consumers_of(*stream).find(subject->consumer);
  if (consumer == nullptr) {
    no_responders(arrival.from, arrival.reply);
    return;
  }
  const streams::AckPayload payload = streams::parse_ack_payload(arrival.payload);
  streams::Ack ack;
  ack.subject = *subject;
  ack.kind = payload.kind;
  ack.delay_ns = payload.delay_ns;
  ack.reply = arrival.reply;
  if (payload.kind == streams::AckKind::kNak && !payload.argument.empty()) {
    ack.delay_ns = read_nak_delay(payload.argument);
  } else if (payload.kind == streams::AckKind::kTerm) {
    ack.reason = payload.argument;
  } else if (payload.kind == streams::AckKind::kNext &&
             !read_pull_request(payload.argument, ack.next)) {
    ack.next = {};
  }
  touched(*stream);
  consumer->on_ack(ack);
}

// $JS.FC.<stream>.<consumer>.<number>
void Service::on_flow_control(const Arrival& arrival) {
  std::string_view rest = arrival.subject.substr(std::string_view("$JS.FC.").size());
  const std::size_t first = rest.find('.');
  const std::size_t second = first == std::string_view::npos ? first : rest.find('.', first + 1);
  if (second == std::string_view::npos) {
    return;
  }
  Stream* const stream = streams_->find(rest.substr(0, first));
  if (stream == nullptr) {
    return;
  }
  streams::Consumer* const consumer =
      streams::consumers_of(*stream).find(rest.substr(first + 1, second - first - 1));
  if (consumer != nullptr) {
    touched(*stream);
    consumer->on_flow_control(arrival.subject);
  }
}

// --- the turn ---

bool Service::on_turn() {
  if (ended_) {
    return false;
  }
  bool more = run_timers();
  host_.let_go();
  while (!touched_.empty()) {
    settling_ = std::exchange(touched_, {});
    for (Served* const entry : settling_) {
      entry->touched = false;
    }
    for (Served* const entry : settling_) {
      settle(*entry);
    }
  }
  settling_.clear();
  if (!deadlines_.empty()) {
    const SteadyTime next = deadlines_.begin()->first;
    if (next <= host_.clock().now()) {
      more = more || host_.can_deliver();
    } else {
      host_.wake_at(next);
    }
  }
  return more;
}

// Consumers that have more to deliver than one turn takes are due at once. They wait while the
// clients' loops have enough to do.
bool Service::run_timers() {
  const SteadyTime now = host_.clock().now();
  if (deadlines_.empty() || deadlines_.begin()->first > now || !host_.can_deliver()) {
    return false;
  }
  std::vector<Served*> due;
  for (const auto& [when, entry] : deadlines_) {
    if (when > now) {
      break;
    }
    due.push_back(entry);
  }
  for (Served* const entry : due) {
    touch(*entry);
    entry->stream->on_timer();
  }
  return false;
}

void Service::settle(Served& entry) {
  offer_again(entry);
  watch_deliver_subjects(entry);
  if (!entry.retired) {
    begin_sync(entry);
    begin_compaction(entry);
  }
  log_failures(*entry.stream, entry.told_failure);
  schedule(entry);
}

void Service::begin_sync(Served& entry) {
  if (entry.syncing != nullptr) {
    entry.stream->write();
    return;
  }
  auto job = std::make_shared<SyncJob>();
  if (entry.stream->needs_commit() && entry.stream->begin_commit() == Stream::Commit::kSync) {
    job->stream = entry.stream;
  }
  streams::ConsumerSet& consumers = streams::consumers_of(*entry.stream);
  consumers.flush();
  if (consumers.wants_sync()) {
    job->consumers = consumers.begin_sync();
  }
  if (job->stream != nullptr || job->consumers) {
    entry.syncing = job;
    threads_->submit(std::move(job));
  }
}

void Service::end_sync(Served& entry) {
  const std::shared_ptr<SyncJob> job = std::exchange(entry.syncing, nullptr);
  job->finished = true;
  if (job->stream != nullptr) {
    job->stream->end_commit(job->result);
  }
  if (job->consumers) {
    streams::consumers_of(*entry.stream).end_sync(*job->consumers);
  }
  log_failures(*entry.stream, entry.told_failure);
}

void Service::synced(const std::shared_ptr<SyncJob>& job) {
  if (job->finished) {
    return;  // somebody could not wait
  }
  const auto found = std::find_if(served_.begin(), served_.end(), [&](const auto& each) {
    return each.second->syncing == job;
  });
  CHECK(found != served_.end());
  touch(*found->second);
  end_sync(*found->second);
  retire(*found->second);
}

void Service::begin_compaction(Served& entry) {
  if (compacting_ || !entry.stream->begin_compaction()) {
    return;
  }
  compacting_ = entry.compacting = true;
  on_disk([stream = entry.stream] { stream->run_compaction(); },
          [this, &entry] {
            compacting_ = entry.compacting = false;
            entry.stream->end_compaction();
            log_failures(*entry.stream, entry.told_failure);
            for (const auto& [stream, each] : served_) {
              touch(*each);  // it may be another one's turn
            }
            retire(entry);
          });
}

void Service::on_disk(std::function<void()> work, std::function<void()> then) {
  auto job = std::make_shared<SyncJob>();
  job->work = std::move(work);
  chores_under_way_.emplace_back(job, std::move(then));
  chores_->submit(std::move(job));
}

void Service::chore_done(const std::shared_ptr<SyncJob>& job) {
  const auto found =
      std::ranges::find_if(chores_under_way_, [&](const auto& each) { return each.first == job; });
  if (found == chores_under_way_.end()) {
    return;  // finish_chores() could not wait
  }
  const std::function<void()> then = std::move(found->second);
  chores_under_way_.erase(found);
  then();
}

/// Also those that others lead to.
void Service::finish_chores() {
  while (!chores_under_way_.empty()) {
    const std::shared_ptr<SyncJob> job = chores_under_way_.front().first;
    chores_->wait_for(*job);
    chore_done(job);
  }
}

void Service::later(std::function<void()> task) {
  host_.post(std::move(task));
}

void Service::schedule(Served& entry) {
  const SteadyTime next = entry.stream->next_deadline();
  if (next != entry.deadline) {
    deadlines_.erase({entry.deadline, &entry});
    entry.deadline = next;
    if (next != SteadyTime::max()) {
      deadlines_.emplace(next, &entry);
    }
  }
}

// Whoever delivers belongs to one of these: streams are touched before they are asked to work.
void Service::before_output() {
  for (const std::vector<Served*>* const each : {&touched_, &settling_}) {
    for (Served* const entry : *each) {
      streams::consumers_of(*entry->stream).flush_before_output();
    }
  }
}

// --- interest ---

// Which subjects push consumers deliver to changes with the API's calls, which touch the stream.
void Service::watch_deliver_subjects(Served& entry) {
  std::vector<std::string> wanted;
  for (const streams::Consumer* const consumer : streams::consumers_of(*entry.stream).list()) {
    if (!consumer->config().is_pull()) {
      wanted.push_back(consumer->config().deliver_subject);
    }
  }
  if (wanted == entry.watched) {
    return;
  }
  for (const std::string& subject : wanted) {
    host_.watch_interest(subject);
  }
  for (const std::string& subject : entry.watched) {
    host_.unwatch_interest(subject);
  }
  entry.watched = std::move(wanted);
}

void Service::on_interest() {
  for (auto& [stream, entry] : served_) {
    if (!entry->watched.empty()) {
      streams::ConsumerSet& consumers = streams::consumers_of(*stream);
      for (const std::string& subject : entry->watched) {
        consumers.on_interest_changed(subject);
      }
      touch(*entry);
    }
  }
}

void Service::on_receivers_ready() {
  for (auto& [stream, entry] : served_) {
    if (streams::consumers_of(*stream).awaits_receivers()) {
      touch(*entry);
      streams::consumers_of(*stream).on_receivers_ready();
    }
  }
}

// --- out ---

std::size_t Service::deliver(std::string_view to, const streams::OutgoingMessage& message) {
  return host_.send(to, {message.subject, message.reply, message.headers, message.payload});
}

std::optional<std::size_t> Service::offer(std::string_view to,
                                          const streams::OutgoingMessage& message) {
  return host_.offer(to, {message.subject, message.reply, message.headers, message.payload});
}

void Service::answer(std::string_view reply, std::string_view text) {
  Outgoing message;
  message.subject = reply;
  message.payload = text;
  host_.send(reply, message);
}

void Service::no_responders(const Sender& to, std::string_view reply) {
  if (!reply.empty()) {
    host_.no_responders(to, reply);
  }
}

void Service::advisory(streams::Advisory event) {
  const AdvisoryText text =
      advisory_text(event,
                    fmt::format("{}{:06}", advisory_prefix_, ++next_advisory_),
                    unix_ns(),
                    options_.domain);
  answer(text.subject, text.payload);
}

// --- monitoring ---

/// What only grows.
void Service::count(const Stream& stream, JetStreamSnapshot& shot) {
  const streams::StreamCounters& counters = stream.counters();
  shot.stored += counters.stored;
  shot.duplicates += counters.duplicates;
  shot.refused += counters.refused;
  shot.commits += counters.commits;
  if (stream.config().storage == streams::StorageType::kMemory) {
    return;
  }
  const store::LogStats log = stream.log().stats();
  shot.syncs += log.syncs;
  shot.sync_ns += log.sync_ns;
  shot.full_disk += log.full_disk;
}

JetStreamSnapshot Service::snapshot() const {
  JetStreamSnapshot shot = gone_;
  shot.store_dir = folder_.path();
  shot.max_memory = options_.max_memory;
  shot.max_file = options_.max_file;
  shot.api_total = api_->total();
  shot.api_errors = api_->errors();
  shot.unusable = streams_->unusable().size();
  for (const auto& [stream, entry] : served_) {
    const streams::StreamState state = stream->state();
    const bool memory = stream->config().storage == streams::StorageType::kMemory;
    (memory ? shot.memory : shot.storage) += state.bytes;
    (memory ? shot.reserved_memory : shot.reserved_storage) +=
        static_cast<std::uint64_t>(std::max<std::int64_t>(0, stream->config().max_bytes));
    ++shot.streams;
    shot.consumers += state.consumers;
    shot.messages += state.messages;
    count(*stream, shot);
    shot.set_aside += entry->set_aside.size();
    shot.failed_streams += stream->failure().ok() ? 0U : 1U;
    shot.unusable += streams::consumers_of(*stream).unusable().size();
    shot.failed_consumers += streams::consumers_of(*stream).failed_count();
  }
  return shot;
}

// --- the end ---

void Service::on_stop() {
  stopping_since_ = host_.clock().now();
}

bool Service::settled() const {
  if (!touched_.empty()) {
    return false;
  }
  const bool give_up = stopping_since_ && host_.clock().now() > *stopping_since_ + kGiveUpTime;
  if (!chores_under_way_.empty() && !give_up) {
    return false;  // somebody may wait for the answer
  }
  return std::all_of(served_.begin(), served_.end(), [&](const auto& each) {
    const Served& entry = *each.second;
    return entry.syncing == nullptr && entry.stream->waiting_answers() == 0 &&
           (!entry.stream->needs_commit() || give_up) && (entry.set_aside.empty() || give_up);
  });
}

void Service::on_end() {
  finish_chores();
  for (auto& [stream, entry] : served_) {
    if (entry->syncing != nullptr) {
      threads_->wait_for(*entry->syncing);
      end_sync(*entry);
    }
    if (!entry->set_aside.empty()) {
      logger("streams")->error(
          "not stored, no room stream={} messages={}", stream->name(), entry->set_aside.size());
    }
  }
  ended_ = true;
  touched_.clear();
  if (const Status closed = streams_->close(); !closed.ok()) {
    logger("streams")->error("closing streams error=\"{}\"", closed.message());
  }
}

}  // namespace feedvault::broker::jetstream
