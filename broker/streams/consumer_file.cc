#include "broker/streams/consumer_file.h"

#include <utility>

#include "broker/streams/varint.h"

namespace feedvault::broker::streams {
namespace {

using store::Promise;
using store::StateFile;

constexpr std::uint64_t kFileVersion = 1;

/// Changes that could not be written for so long, on a full disk, are worth less than a snapshot.
constexpr std::size_t kHeldChangesBytesMax = 1U << 20U;

std::string encode_head(const StoredConsumer& stored) {
  const std::string config = encode_consumer_config(stored.config);
  std::string head;
  put_varint(head, kFileVersion);
  put_varint(head, config.size());
  head += config;
  put_signed(head, stored.created_ns);
  return head;
}

struct Head {
  StoredConsumer stored;
  std::string_view bytes;  // its own
  std::string_view rest;   // the ledger's
};

Result<Head> decode_head(std::string_view snapshot) {
  Status bad(StatusCode::kCorruption, "the consumer's state is none");
  VarintReader in(snapshot);
  const std::uint64_t version = in.next();
  if (in.ok() && version != kFileVersion) {
    return Status(StatusCode::kCorruption,
                  "the consumer's state has version " + std::to_string(version) +
                      ", and this program reads " + std::to_string(kFileVersion));
  }
  const std::uint64_t size = in.next();
  if (!in.ok() || size > in.bytes_left()) {
    return bad;
  }
  const std::string_view config = snapshot.substr(snapshot.size() - in.bytes_left(), size);
  const std::string_view behind = snapshot.substr(snapshot.size() - in.bytes_left() + size);
  VarintReader rest(behind);
  Head head;
  head.stored.created_ns = rest.next_signed();
  if (!rest.ok()) {
    return bad;
  }
  head.rest = behind.substr(behind.size() - rest.bytes_left());
  head.bytes = snapshot.substr(0, snapshot.size() - head.rest.size());
  ASSIGN_OR_RETURN(head.stored.config, decode_consumer_config(config));
  return head;
}

/// Of a file without a state. It got its name with one in it, so that is damage.
Status no_state(const std::string& path, const StateFile::Contents& contents) {
  if (!contents.damaged) {
    return not_found("no consumer in " + path);
  }
  return {StatusCode::kCorruption, "nothing in it can be read, so a consumer is lost"};
}

Result<ConsumerFile::Loaded> decode_consumer(const StateFile::Contents& contents,
                                             const Head& head,
                                             const Moment& now) {
  ConsumerFile::Loaded loaded;
  loaded.stored = head.stored;
  loaded.damaged = contents.damaged;
  loaded.repaired = contents.repaired;
  loaded.ledger.emplace(head.stored.config.ack_policy);
  RETURN_IF_ERROR(loaded.ledger->load_snapshot(head.rest, now));
  for (const std::string& change : contents.changes) {
    RETURN_IF_ERROR(loaded.ledger->load_change(change, now));
  }
  return loaded;
}

}  // namespace

Result<std::unique_ptr<ConsumerFile>> ConsumerFile::create(store::FileSystem& fs,
                                                           const std::string& path,
                                                           const StoredConsumer& stored,
                                                           AckLedger& ledger,
                                                           const Moment& now) {
  StateFile::Contents contents;
  ASSIGN_OR_RETURN(auto state, StateFile::open(fs, path, contents));
  std::unique_ptr<ConsumerFile> file(new ConsumerFile(fs, path, std::move(state)));
  RETURN_IF_ERROR(file->rewrite(stored, ledger, now, Promise::kSynced));
  return file;
}

Result<ConsumerFile::Loaded> ConsumerFile::open(store::FileSystem& fs,
                                                const std::string& path,
                                                const Moment& now) {
  StateFile::Contents contents;
  ASSIGN_OR_RETURN(auto state, StateFile::open(fs, path, contents));
  if (contents.generation == 0) {
    return no_state(path, contents);
  }
  ASSIGN_OR_RETURN(const Head head, decode_head(contents.snapshot));
  ASSIGN_OR_RETURN(Loaded loaded, decode_consumer(contents, head, now));
  loaded.file.reset(new ConsumerFile(fs, path, std::move(state)));
  loaded.file->head_ = std::string(head.bytes);
  return loaded;
}

Result<ConsumerFile::Loaded> ConsumerFile::load(store::FileSystem& fs,
                                                const std::string& path,
                                                const Moment& now) {
  ASSIGN_OR_RETURN(const StateFile::Contents contents, StateFile::load(fs, path));
  if (contents.generation == 0) {
    return no_state(path, contents);
  }
  ASSIGN_OR_RETURN(const Head head, decode_head(contents.snapshot));
  return decode_consumer(contents, head, now);
}

Status ConsumerFile::write_snapshot(AckLedger& ledger, const Moment& now, Promise promise) {
  const std::string ledger_bytes = ledger.snapshot(now);
  RETURN_IF_ERROR(state_->write_snapshot(head_ + ledger_bytes, promise));
  ledger.clear_changes();
  snapshot_pending_ = false;
  return {};
}

Status ConsumerFile::flush(AckLedger& ledger, const Moment& now) {
  const std::string_view changes = ledger.changes();
  if (changes.empty() && !snapshot_pending_) {
    return {};
  }
  Status status;
  if (snapshot_pending_ || state_->wants_snapshot()) {
    status = write_snapshot(ledger, now, Promise::kWritten);
  } else {
    status = state_->write_change(changes, Promise::kWritten);
    if (status.ok()) {
      ledger.clear_changes();
    }
  }
  if (status.code() == StatusCode::kExhausted && ledger.changes_size() > kHeldChangesBytesMax) {
    ledger.clear_changes();
    snapshot_pending_ = true;
  }
  return status;
}

Status ConsumerFile::flush_durably(AckLedger& ledger, const Moment& now) {
  RETURN_IF_ERROR(flush(ledger, now));
  return state_->sync();
}

Status ConsumerFile::rewrite(const StoredConsumer& stored,
                             AckLedger& ledger,
                             const Moment& now,
                             Promise promise) {
  std::string before = std::exchange(head_, encode_head(stored));
  Status status = write_snapshot(ledger, now, promise);
  if (!status.ok()) {
    head_ = std::move(before);
  }
  return status;
}

Status ConsumerFile::remove(Promise promise) {
  RETURN_IF_ERROR(fs_.remove(path_));
  return promise == Promise::kSynced ? fs_.sync_dir(path_.substr(0, path_.find_last_of('/')))
                                     : Status();
}

}  // namespace feedvault::broker::streams
