#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "broker/store/file_system.h"
#include "broker/store/state_file.h"
#include "broker/streams/ack_ledger.h"
#include "broker/streams/consumer_config.h"

namespace feedvault::broker::streams {

/// What makes a consumer the one it is.
struct StoredConsumer {
  ConsumerConfig config;        // with its name
  std::int64_t created_ns = 0;  // Unix time
};

/// A consumer on disk: its configuration and ledger in one state file (docs/file_format.md). A
/// snapshot holds both; changes are the ledger's. Single-threaded, but for syncs. Failures are
/// StateFile's.
class ConsumerFile {
 public:
  struct Loaded {
    StoredConsumer stored;
    std::optional<AckLedger> ledger;
    bool damaged = false;   // an older state than the last one: messages will come again
    bool repaired = false;  // damage that cost nothing
    std::unique_ptr<ConsumerFile> file;  // null after load()
  };

  /// Durable on return. `fs` outlives it.
  static Result<std::unique_ptr<ConsumerFile>> create(store::FileSystem& fs,
                                                      const std::string& path,
                                                      const StoredConsumer& stored,
                                                      AckLedger& ledger,
                                                      const Moment& now);
  /// kNotFound: there is no such file. kCorruption: nothing in it can be read, or a state that this
  /// program does not understand.
  static Result<Loaded> open(store::FileSystem& fs, const std::string& path, const Moment& now);
  /// The same for who only looks: changes nothing.
  static Result<Loaded> load(store::FileSystem& fs, const std::string& path, const Moment& now);

  /// Writes the ledger's changes: they survive a kill. kExhausted: nothing is lost, try again.
  Status flush(AckLedger& ledger, const Moment& now);
  /// The configuration changed.
  Status rewrite(const StoredConsumer& stored,
                 AckLedger& ledger,
                 const Moment& now,
                 store::Promise promise);
  /// flush(), and durable on return.
  Status flush_durably(AckLedger& ledger, const Moment& now);

  std::uint64_t generation() const { return state_->generation(); }
  std::uint64_t synced_generation() const { return state_->synced_generation(); }
  store::StateFile::Sync begin_sync() const { return state_->begin_sync(); }
  Status end_sync(const store::StateFile::Sync& sync, const Status& result) {
    return state_->end_sync(sync, result);
  }

  /// Deletes the file; `durably`: it does not come back after a power cut.
  Status remove(store::Promise promise);

 private:
  ConsumerFile(store::FileSystem& fs, std::string path, std::unique_ptr<store::StateFile> state)
      : fs_(fs), path_(std::move(path)), state_(std::move(state)) {}
  Status write_snapshot(AckLedger& ledger, const Moment& now, store::Promise promise);

  store::FileSystem& fs_;
  const std::string path_;
  std::unique_ptr<store::StateFile> state_;
  std::string head_;               // what a snapshot begins with: the configuration
  bool snapshot_pending_ = false;  // changes were given up for a snapshot
};

}  // namespace feedvault::broker::streams
