#include "storage/feed_tables.h"

#include <algorithm>
#include <bit>

#include "base/failpoint.h"
#include "storage/sql_text.h"

namespace feedvault::storage {
namespace {

constexpr std::size_t kMessageIdBytesMax = 255;
// What a Quarantine row needs beside its data, and the packet around it, rounded up.
constexpr std::size_t kQuarantineOverhead = 8192;
// What DATETIME holds, 1000-01-01 to 9999-12-31: a message is not kept out of Quarantine because
// its time is nonsense too.
constexpr std::int64_t kTimestampMin = -30610224000000000;
constexpr std::int64_t kTimestampMax = 253402300799999999;

}  // namespace

FeedTables::FeedTables(Session& session, const FeedConfig& feed, std::size_t packet_bytes_max)
    : session_(session),
      feed_(feed),
      packet_bytes_max_(packet_bytes_max),
      inserter_(session, feed.number, packet_bytes_max) {}

Result<FeedState> FeedTables::lock_row(bool& found) {
  std::vector<TextRow> rows;
  RETURN_IF_SQL_ERROR(
      session_.query(
          "SELECT epoch,stream_created_ns,stream_seq,stream_time_ns,stream_hash,last_seq,"
          "name FROM Feeds WHERE feed=" +
              std::to_string(feed_.number) + " FOR UPDATE",
          rows),
      "locking the feed's row");
  FeedState state;
  found = !rows.empty();
  if (!found) {
    return state;
  }
  const TextRow& row = rows.front();
  if (row[6] != feed_.name) {
    return invalid_argument("feed number " + std::to_string(feed_.number) +
                            " belongs to the feed '" + row[6].value_or("") +
                            "' in the catalogue, but is '" + feed_.name +
                            "' in the configuration; give each feed a number of its own");
  }
  state.epoch = number_in<std::uint64_t>(row[0]);
  state.ingest.stream_created_ns = number_in<std::int64_t>(row[1]);
  state.ingest.stream_seq = number_in<std::uint64_t>(row[2]);
  state.ingest.time_ns = number_in<std::int64_t>(row[3]);
  state.ingest.hash = number_in<std::uint64_t>(row[4]);
  state.last_seq = number_in<std::uint64_t>(row[5]);
  return state;
}

Result<FeedState> FeedTables::lock() {
  bool found = false;
  ASSIGN_OR_RETURN(FeedState state, lock_row(found));
  if (!found) {
    return Status(StatusCode::kCorruption,
                  "the row of feed '" + feed_.name + "' in Feeds is gone; restore it");
  }
  return state;
}

Result<FeedState> FeedTables::lock_or_create() {
  bool found = false;
  ASSIGN_OR_RETURN(FeedState state, lock_row(found));
  if (found) {
    return state;
  }
  const SqlError error =
      session_.execute("INSERT INTO Feeds (feed,name) VALUES (" + std::to_string(feed_.number) +
                       "," + session_.quote(feed_.name) + ")");
  if (error.error_class() == ErrorClass::kDuplicateKey) {
    // Another controller was faster, or the name is taken by another number.
    ASSIGN_OR_RETURN(state, lock_row(found));
    if (!found) {
      return invalid_argument(
          "the feed '" + feed_.name + "' has another number in the catalogue than " +
          std::to_string(feed_.number) + " in the configuration; a feed keeps its number");
    }
    return state;
  }
  RETURN_IF_SQL_ERROR(error, "making the feed's row");
  return state;
}

Status FeedTables::raise_epoch() {
  RETURN_IF_SQL_ERROR(
      session_.execute("UPDATE Feeds SET epoch=epoch+1 WHERE feed=" + std::to_string(feed_.number)),
      "raising the feed's epoch");
  return {};
}

SqlError FeedTables::advance(std::uint64_t epoch,
                             std::uint64_t last_seq,
                             std::uint64_t new_last_seq,
                             const IngestPosition& position,
                             const FeedCounters& counters,
                             bool& matched) {
  if (!advance_.prepared()) {
    if (SqlError error = advance_.prepare(
            session_,
            "UPDATE Feeds SET stream_created_ns=?,stream_seq=?,stream_time_ns=?,stream_hash=?,"
            "last_seq=?,duplicates=duplicates+?,conflicts=conflicts+?,quarantined=quarantined+? "
            "WHERE feed=? AND epoch=? AND last_seq=?");
        !error.ok()) {
      return error;
    }
  }
  Parameters parameters;
  parameters.add_signed(position.stream_created_ns)
      .add(position.stream_seq)
      .add_signed(position.time_ns)
      .add(position.hash)
      .add(new_last_seq)
      .add(counters.duplicates)
      .add(counters.conflicts)
      .add(counters.quarantined)
      .add(feed_.number)
      .add(epoch)
      .add(last_seq);
  SqlError error = advance_.execute(parameters.binds());
  matched = error.ok() && advance_.affected_rows() == 1;
  return error;
}

SqlError FeedTables::set_last_seq(std::uint64_t epoch,
                                  std::uint64_t last_seq,
                                  std::uint64_t new_last_seq,
                                  bool& matched) {
  SqlError error = session_.execute("UPDATE Feeds SET last_seq=" + std::to_string(new_last_seq) +
                                    " WHERE feed=" + std::to_string(feed_.number) +
                                    " AND epoch=" + std::to_string(epoch) +
                                    " AND last_seq=" + std::to_string(last_seq));
  matched = error.ok() && session_.affected_rows() == 1;
  return error;
}

SqlError FeedTables::insert_quarantine(const QuarantineRow& row) {
  if (!insert_quarantine_.prepared()) {
    if (SqlError error = insert_quarantine_.prepare(
            session_,
            "INSERT INTO Quarantine (feed,stream_created_ns,stream_seq,message_id,timestamp,size,"
            "data,error) VALUES (?,?,?,?,?,?,?,?)");
        !error.ok()) {
      return error;
    }
  }
  const std::size_t kept = std::min(
      row.data.size(), packet_bytes_max_ - std::min(packet_bytes_max_, kQuarantineOverhead));
  std::string text;
  if (kept < row.data.size()) {
    text = "only the first " + std::to_string(kept) +
           " bytes are kept, more does not fit max_allowed_packet; ";
  }
  text = clean_error(text + std::string(row.error));
  Parameters parameters;
  parameters.add(feed_.number)
      .add_signed(row.stream_created_ns)
      .add(row.stream_seq)
      .add_bytes(row.message_id.substr(0, kMessageIdBytesMax))
      .add_time(std::clamp(row.timestamp_us, kTimestampMin, kTimestampMax))
      .add(row.data.size())
      .add_bytes(row.data.substr(0, kept))
      .add_text(text);
  return insert_quarantine_.execute(parameters.binds());
}

SqlError FeedTables::insert_gap(const NewGap& gap) {
  if (!insert_gap_.prepared()) {
    if (SqlError error = insert_gap_.prepare(
            session_,
            "INSERT INTO Gaps (feed,stream_created_ns,first_seq,last_seq,reason) "
            "VALUES (?,?,?,?,?)");
        !error.ok()) {
      return error;
    }
  }
  const std::string reason = clean_error(gap.reason);
  Parameters parameters;
  parameters.add(feed_.number)
      .add_signed(gap.stream_created_ns)
      .add(gap.first)
      .add(gap.last)
      .add_text(reason);
  return insert_gap_.execute(parameters.binds());
}

Status FeedTables::start_lookup(std::span<const std::string_view> ids, std::size_t& count) {
  const auto exponent = std::min<std::size_t>(
      kLookupStatements - 1, static_cast<std::size_t>(std::bit_width(ids.size())) - 1);
  count = std::size_t{1} << exponent;
  Statement& statement = lookups_[exponent];
  if (!statement.prepared()) {
    std::string sql =
        "SELECT seq,id,timestamp,data FROM Messages WHERE feed=" + std::to_string(feed_.number) +
        " AND id IN (?";
    for (std::size_t i = 1; i < count; ++i) {
      sql += ",?";
    }
    RETURN_IF_SQL_ERROR(statement.prepare(session_, sql + ")"), "looking message ids up");
  }
  lookup_binds_.assign(count, MYSQL_BIND{});
  lookup_lengths_.resize(count);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string_view id = ids[i].data() == nullptr ? std::string_view("") : ids[i];
    bind_range(lookup_binds_[i], MYSQL_TYPE_BLOB, id, &lookup_lengths_[i]);
  }
  RETURN_IF_SQL_ERROR(statement.execute(lookup_binds_.data()), "looking message ids up");
  RETURN_IF_SQL_ERROR(fetcher_.start(statement, /*with_body=*/false), "looking message ids up");
  return {};
}

Status FeedTables::commit() {
  FAILPOINT("commit.inserted");
  SqlError error = session_.send("COMMIT");
  FAILPOINT("commit.sent");
  if (error.ok()) {
    error = session_.receive();
  }
  FAILPOINT("commit.done");
  if (!error.ok()) {
    return {StatusCode::kUnknownOutcome, error.to_status("COMMIT").message()};
  }
  return {};
}

}  // namespace feedvault::storage
