#include "broker/output_queue.h"

#include <algorithm>
#include <random>
#include <string>

#include <gtest/gtest.h>

namespace feedvault::broker {
namespace {

/// Takes what `appetite` says at each call: nothing is a full socket, -1 a broken one.
class Eater final : public Transport {
 public:
  std::function<std::int64_t()> appetite = [] { return std::int64_t{1} << 40; };
  std::string eaten;
  int calls = 0;
  std::size_t most_pieces = 0;

  IoResult read(char* /*into*/, std::size_t /*size*/) override {
    return {IoState::kWouldBlock, 0, 0};
  }
  IoResult write(const iovec* pieces, std::size_t count) override {
    ++calls;
    most_pieces = std::max(most_pieces, count);
    const std::int64_t willing = appetite();
    if (willing < 0) {
      return {IoState::kFailed, 0, EPIPE};
    }
    auto room = static_cast<std::size_t>(willing);
    std::size_t taken = 0;
    for (std::size_t i = 0; i < count && room > 0; ++i) {
      const std::size_t here = std::min(room, pieces[i].iov_len);
      eaten.append(static_cast<const char*>(pieces[i].iov_base), here);
      room -= here;
      taken += here;
    }
    return {taken == 0 ? IoState::kWouldBlock : IoState::kDone, taken, 0};
  }
  void shut_write(std::string_view /*reason*/) override {}
  int fd() const override { return -1; }
};

TEST(OutputQueue, WritesEverythingInOneCallHoweverManyPiecesCame) {
  ChunkPool pool;
  OutputQueue queue(pool);
  std::string expected;
  for (int i = 0; i < 2000; ++i) {
    const std::string text = "message " + std::to_string(i) + "\r\n";
    queue.append(text);
    expected += text;
  }
  Eater eater;
  const IoResult result = queue.flush(eater);
  EXPECT_EQ(result.state, IoState::kDone);
  EXPECT_EQ(result.bytes, expected.size());
  EXPECT_EQ(eater.eaten, expected);
  EXPECT_EQ(eater.calls, 1);
  EXPECT_TRUE(queue.empty());
}

TEST(OutputQueue, ClaimGivesRoomInTheLastChunkOnly) {
  ChunkPool pool;
  OutputQueue queue(pool);
  EXPECT_EQ(queue.claim(1), nullptr);  // there is no chunk
  queue.append("ab");
  char* const at = queue.claim(2);
  ASSERT_NE(at, nullptr);
  std::copy_n("cd", 2, at);
  EXPECT_EQ(queue.claim(kSmallChunkBytes), nullptr);
  queue.append("e");
  Eater eater;
  queue.flush(eater);
  EXPECT_EQ(eater.eaten, "abcde");
}

TEST(OutputQueue, MoreThanOneCallTakesGoesInSeveral) {
  ChunkPool pool;
  OutputQueue queue(pool);
  const std::string large((kIovecsMax + 5) * kLargeChunkBytes, 'x');
  queue.append(large);
  Eater eater;
  EXPECT_EQ(queue.flush(eater).state, IoState::kDone);
  EXPECT_EQ(eater.eaten.size(), large.size());
  EXPECT_EQ(eater.most_pieces, kIovecsMax);
}

TEST(OutputQueue, ABrokenSocketIsSaidAndTheRestStays) {
  ChunkPool pool;
  OutputQueue queue(pool);
  queue.append("abc");
  Eater eater;
  eater.appetite = [] { return -1; };
  const IoResult result = queue.flush(eater);
  EXPECT_EQ(result.state, IoState::kFailed);
  EXPECT_EQ(result.error, EPIPE);
  EXPECT_EQ(queue.size(), 3U);
  queue.clear();
  EXPECT_TRUE(queue.empty());
}

// Random appends and claims against a string, and a socket of random appetite.
TEST(OutputQueue, KeepsEveryByteInOrderWhateverIsTaken) {
  for (std::uint32_t seed = 1; seed <= 8; ++seed) {
    SCOPED_TRACE(seed);
    std::mt19937 random(seed);
    const auto up_to = [&](std::uint32_t most) {
      return static_cast<std::uint32_t>(random() % (most + 1));
    };
    ChunkPool pool;
    Eater eater;
    eater.appetite = [&]() -> std::int64_t {
      const std::uint32_t mood = up_to(9);
      return std::int64_t{mood == 0 ? 0 : (mood < 4 ? up_to(20) : up_to(100'000))};
    };
    std::string expected;
    {
      OutputQueue queue(pool);
      for (int step = 0; step < 300; ++step) {
        const std::uint32_t bytes = up_to(9) == 0 ? up_to(200'000) : up_to(300);
        std::string text(bytes, ' ');
        std::generate(text.begin(), text.end(), [&] { return static_cast<char>('a' + up_to(25)); });
        if (char* const at = up_to(1) == 0 ? queue.claim(text.size()) : nullptr; at != nullptr) {
          std::copy(text.begin(), text.end(), at);
        } else {
          queue.append(text);
        }
        expected += text;
        if (up_to(2) == 0) {
          const std::size_t before = eater.eaten.size();
          const IoResult result = queue.flush(eater);
          ASSERT_EQ(result.bytes, eater.eaten.size() - before);
          ASSERT_EQ(result.state == IoState::kDone, queue.empty());
        }
        ASSERT_EQ(queue.size(), expected.size() - eater.eaten.size());
      }
      eater.appetite = [] { return std::int64_t{1} << 40; };
      ASSERT_EQ(queue.flush(eater).state, IoState::kDone);
    }
    ASSERT_TRUE(eater.eaten == expected);
  }
}

TEST(ChunkPool, GivesWhatFitsAndKeepsWhatItMay) {
  ChunkPool pool;
  Chunk* const small = pool.take(1);
  Chunk* const medium = pool.take(kSmallChunkBytes);
  Chunk* const large = pool.take(10 * kLargeChunkBytes);
  EXPECT_EQ(small->capacity + sizeof(Chunk), kSmallChunkBytes);
  EXPECT_EQ(medium->capacity + sizeof(Chunk), kMediumChunkBytes);
  EXPECT_EQ(large->capacity + sizeof(Chunk), kLargeChunkBytes);
  pool.give_back(small);
  EXPECT_EQ(pool.take(1), small);  // again
  pool.give_back(small);
  pool.give_back(medium);
  pool.give_back(large);
}

}  // namespace
}  // namespace feedvault::broker
