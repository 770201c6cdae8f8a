#include <algorithm>
#include <cstdlib>
#include <random>
#include <set>

#include "tests/integration/storage/fixture.h"

namespace feedvault::storage {
namespace {

constexpr std::string_view kBrokenJson = "{\"a\":";

/// What a catalogue must do with messages, one at a time and without a database.
class Model {
 public:
  std::string commit(const Batch& batch) {
    CommitOutcome outcome;
    for (const NewMessage& message : batch.messages) {
      outcome.items.push_back(store(message, batch.position.stream_created_ns));
    }
    for (const NewQuarantine& row : batch.quarantine) {
      quarantined_.emplace(row.stream_seq, row.timestamp_us);
    }
    outcome.last_seq = rows_.size();
    return fates(outcome);
  }

  std::string table() const {
    std::string text;
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      text += std::to_string(i + 1) + "\t" + rows_[i].id + "\t" + rows_[i].data + "\n";
    }
    return text;
  }
  std::size_t quarantined() const { return quarantined_.size(); }

 private:
  struct Stored {
    std::string id;
    std::int64_t timestamp_us;
    std::string data;
  };

  CommitOutcome::Item store(const NewMessage& message, std::int64_t) {
    std::string id(message.id);
    const Stored* holder = find(id);
    if (holder != nullptr && message.id_generated && holder->timestamp_us != message.timestamp_us) {
      id += "-" + std::to_string(message.timestamp_us);
      holder = find(id);
    }
    CommitOutcome::Item item;
    if (holder != nullptr) {
      const bool same = holder->data == message.data;
      item.fate = same ? CommitOutcome::Fate::kDuplicate : CommitOutcome::Fate::kConflict;
      if (!same) {
        quarantined_.emplace(message.stream_seq, message.timestamp_us);
      }
    } else if (id.size() > 255 || message.body == kBrokenJson) {
      item.fate = CommitOutcome::Fate::kQuarantined;
      quarantined_.emplace(message.stream_seq, message.timestamp_us);
    } else {
      rows_.push_back({id, message.timestamp_us, std::string(message.data)});
      item.seq = rows_.size();
    }
    return item;
  }

  const Stored* find(const std::string& id) const {
    for (const Stored& row : rows_) {
      if (row.id == id) {
        return &row;
      }
    }
    return nullptr;
  }

  std::vector<Stored> rows_;
  std::set<std::pair<std::uint64_t, std::int64_t>> quarantined_;
};

TestBatch random_batch(std::mt19937_64& random, std::uint64_t first_stream_seq) {
  const auto pick = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  TestBatch batch(first_stream_seq);
  const int size = pick(12) == 0 ? 0 : 1 + pick(20);
  const int pool = 4 + pick(200);  // small: many known ids; large: mostly new ones
  for (int i = 0; i < size; ++i) {
    const std::string id = std::to_string(pick(pool));
    const std::string data = "data " + std::to_string(pick(2));
    switch (pick(12)) {
      case 0:
      case 1:
      case 2:
        batch.generated("g" + id, data, TestBatch::kTimeUs + pick(3));
        break;
      case 3:
        batch.message(id, data, pick(3) == 0 ? std::string(kBrokenJson) : "{}");
        break;
      case 4:
        batch.message(std::string(256, 'x') + id, data);
        break;
      case 5:
        batch.bad(id, data, "bad");
        break;
      default:
        batch.message(id, data);
    }
  }
  return batch;
}

using CommitModelTest = StorageTest;

TEST_F(CommitModelTest, DoesWhatTheModelDoesWithRandomBatches) {
  const char* given = std::getenv("FEEDVAULT_TEST_SEED");
  const std::uint64_t seed =
      given != nullptr ? std::strtoull(given, nullptr, 10) : std::random_device{}();
  SCOPED_TRACE("FEEDVAULT_TEST_SEED=" + std::to_string(seed));
  std::mt19937_64 random(seed);
  Model model;
  auto catalogue = writer();
  std::uint64_t next_stream_seq = 1;
  for (int round = 0; round < 150; ++round) {
    // Now and then what was read before is read again.
    if (random() % 10 == 0) {
      next_stream_seq = 1 + random() % next_stream_seq;
    }
    if (random() % 20 == 0) {
      catalogue = writer();
    }
    const TestBatch batch = random_batch(random, next_stream_seq);
    next_stream_seq = std::max<std::uint64_t>(next_stream_seq, batch.batch.position.stream_seq + 1);
    ASSERT_EQ(fates(commit(*catalogue, batch)), model.commit(batch.batch)) << "round " << round;
  }
  EXPECT_EQ(value("SELECT seq,id,data FROM Messages ORDER BY seq") + "\n", model.table());
  EXPECT_EQ(value("SELECT COUNT(*) FROM Quarantine"), std::to_string(model.quarantined()));
  EXPECT_EQ(value("SELECT quarantined FROM Feeds"), std::to_string(model.quarantined()));
}

}  // namespace
}  // namespace feedvault::storage
