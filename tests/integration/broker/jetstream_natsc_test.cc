// nats.c's JetStream calls on our broker and on nats-server: what its users do with streams,
// consumers and key-value buckets.

#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/integration/broker/natsc.h"
#include "tests/integration/broker/server_program.h"

namespace feedvault::broker::testing {
namespace {

struct JsDelete {
  void operator()(jsCtx* it) const { jsCtx_Destroy(it); }
  void operator()(jsStreamInfo* it) const { jsStreamInfo_Destroy(it); }
  void operator()(jsConsumerInfo* it) const { jsConsumerInfo_Destroy(it); }
  void operator()(jsPubAck* it) const { jsPubAck_Destroy(it); }
  void operator()(kvStore* it) const { kvStore_Destroy(it); }
  void operator()(kvEntry* it) const { kvEntry_Destroy(it); }
  void operator()(kvWatcher* it) const { kvWatcher_Destroy(it); }
};
using JsContext = std::unique_ptr<jsCtx, JsDelete>;
using JsStream = std::unique_ptr<jsStreamInfo, JsDelete>;
using JsConsumer = std::unique_ptr<jsConsumerInfo, JsDelete>;
using JsAck = std::unique_ptr<jsPubAck, JsDelete>;
using Bucket = std::unique_ptr<kvStore, JsDelete>;
using Entry = std::unique_ptr<kvEntry, JsDelete>;
using Watcher = std::unique_ptr<kvWatcher, JsDelete>;

class NatscStreams : public ::testing::TestWithParam<ServerKind> {
 protected:
  NatscStreams()
      : server_(GetParam(), "jetstream { store_dir: \"" + folder_.path() + "\" }"),
        connection_(natsc_connect(server_.url())) {
    jsCtx* made = nullptr;
    EXPECT_EQ(natsConnection_JetStream(&made, connection_.get(), nullptr), NATS_OK);
    js_.reset(made);
  }

  JsStream add_stream(const char* name, const char* subject, const auto& configure) {
    jsStreamConfig config;
    jsStreamConfig_Init(&config);
    config.Name = name;
    config.Subjects = &subject;
    config.SubjectsLen = 1;
    configure(config);
    jsStreamInfo* info = nullptr;
    error_ = static_cast<jsErrCode>(0);
    status_ = js_AddStream(&info, js_.get(), &config, nullptr, &error_);
    return JsStream(info);
  }
  JsStream add_stream(const char* name, const char* subject) {
    JsStream made = add_stream(name, subject, [](jsStreamConfig&) {});
    EXPECT_EQ(status_, NATS_OK) << error_;
    return made;
  }
  JsStream stream_info(const char* name) {
    jsStreamInfo* info = nullptr;
    status_ = js_GetStreamInfo(&info, js_.get(), name, nullptr, &error_);
    return JsStream(info);
  }

  /// Its sequence, or 0 after an error.
  std::uint64_t publish(const char* subject, const std::string& text, const auto& configure) {
    jsPubOptions options;
    jsPubOptions_Init(&options);
    configure(options);
    jsPubAck* ack = nullptr;
    error_ = static_cast<jsErrCode>(0);
    status_ = js_Publish(
        &ack, js_.get(), subject, text.data(), static_cast<int>(text.size()), &options, &error_);
    const JsAck owned(ack);
    duplicate_ = ack != nullptr && ack->Duplicate;
    return ack == nullptr ? 0 : ack->Sequence;
  }
  std::uint64_t publish(const char* subject, const std::string& text) {
    return publish(subject, text, [](jsPubOptions&) {});
  }

  NatscSubscription pull_subscribe(const char* subject,
                                   const char* durable,
                                   jsConsumerConfig config = {}) {
    jsSubOptions options;
    jsSubOptions_Init(&options);
    options.Config = config;
    natsSubscription* made = nullptr;
    error_ = static_cast<jsErrCode>(0);
    status_ = js_PullSubscribe(&made, js_.get(), subject, durable, nullptr, &options, &error_);
    EXPECT_EQ(status_, NATS_OK) << error_;
    return NatscSubscription(made);
  }
  static jsConsumerConfig consumer_config() {
    jsConsumerConfig config;
    jsConsumerConfig_Init(&config);
    return config;
  }

  std::vector<NatscMessage> fetch(const NatscSubscription& subscription,
                                  int count,
                                  std::int64_t ms = 5000) {
    natsMsgList list = {};
    status_ = natsSubscription_Fetch(&list, subscription.get(), count, ms, &error_);
    std::vector<NatscMessage> messages;
    for (int i = 0; i < list.Count; ++i) {
      messages.emplace_back(std::exchange(list.Msgs[i], nullptr));
    }
    natsMsgList_Destroy(&list);
    return messages;
  }

  void restart_after_kill() {
    server_.kill_hard();
    server_.start();
    for (int i = 0;
         i < 1000 && natsConnection_Status(connection_.get()) != NATS_CONN_STATUS_CONNECTED;
         ++i) {
      nats_Sleep(10);  // nats.c reconnects by itself and cannot be waited for
    }
    ASSERT_EQ(natsConnection_Status(connection_.get()), NATS_CONN_STATUS_CONNECTED);
  }

  feedvault::testing::TempDir folder_;
  ServerProgram server_;
  NatscConnection connection_;
  JsContext js_;
  natsStatus status_ = NATS_OK;
  jsErrCode error_ = static_cast<jsErrCode>(0);
  bool duplicate_ = false;
};
INSTANTIATE_TEST_SUITE_P(Servers,
                         NatscStreams,
                         ::testing::Values(ServerKind::kOurs, ServerKind::kReference),
                         [](const auto& each) { return std::string(name_of(each.param)); });

TEST_P(NatscStreams, AreAddedChangedListedPurgedAndDeleted) {
  const JsStream made = add_stream("ORDERS", "orders.>");
  ASSERT_NE(made, nullptr);
  EXPECT_STREQ(made->Config->Name, "ORDERS");
  EXPECT_EQ(made->Config->MaxMsgs, -1);
  EXPECT_EQ(made->Config->Storage, js_FileStorage);
  add_stream("OTHER", "orders.1", [](jsStreamConfig&) {});
  EXPECT_EQ(status_, NATS_ERR);
  EXPECT_EQ(error_, JSStreamSubjectOverlapErr);
  for (int i = 1; i <= 10; ++i) {
    EXPECT_EQ(publish("orders.new", "x"), static_cast<std::uint64_t>(i));
  }

  jsStreamConfig config = *made->Config;
  config.MaxMsgs = 5;
  jsStreamInfo* updated = nullptr;
  ASSERT_EQ(js_UpdateStream(&updated, js_.get(), &config, nullptr, &error_), NATS_OK) << error_;
  const JsStream after(updated);
  EXPECT_EQ(after->State.Msgs, 5U);
  EXPECT_EQ(after->State.FirstSeq, 6U);

  jsStreamNamesList* names = nullptr;
  ASSERT_EQ(js_StreamNames(&names, js_.get(), nullptr, &error_), NATS_OK);
  ASSERT_EQ(names->Count, 1);
  EXPECT_STREQ(names->List[0], "ORDERS");
  jsStreamNamesList_Destroy(names);

  ASSERT_EQ(js_PurgeStream(js_.get(), "ORDERS", nullptr, &error_), NATS_OK);
  const JsStream purged = stream_info("ORDERS");
  EXPECT_EQ(purged->State.Msgs, 0U);
  EXPECT_EQ(purged->State.FirstSeq, 11U);
  EXPECT_EQ(purged->State.LastSeq, 10U);
  ASSERT_EQ(js_DeleteStream(js_.get(), "ORDERS", nullptr, &error_), NATS_OK);
  EXPECT_EQ(stream_info("ORDERS"), nullptr);
  EXPECT_EQ(error_, JSStreamNotFoundErr);
}

TEST_P(NatscStreams, AcknowledgeAThousandAsynchronousPublishes) {
  add_stream("ASYNC", "async.*");
  for (int i = 0; i < 1000; ++i) {
    const std::string text = std::to_string(i);
    ASSERT_EQ(
        js_PublishAsync(js_.get(), "async.a", text.data(), static_cast<int>(text.size()), nullptr),
        NATS_OK);
  }
  ASSERT_EQ(js_PublishAsyncComplete(js_.get(), nullptr), NATS_OK);
  const JsStream info = stream_info("ASYNC");
  EXPECT_EQ(info->State.Msgs, 1000U);
  for (const std::uint64_t seq : {1U, 500U, 1000U}) {
    natsMsg* got = nullptr;
    ASSERT_EQ(js_GetMsg(&got, js_.get(), "ASYNC", seq, nullptr, &error_), NATS_OK);
    EXPECT_EQ(payload_of(NatscMessage(got)), std::to_string(seq - 1));
  }
}

TEST_P(NatscStreams, KeepWhatIsExpectedAndDropDuplicates) {
  add_stream("S", "s.*");
  EXPECT_EQ(publish("s.a", "1", [](jsPubOptions& o) { o.MsgId = "one"; }), 1U);
  EXPECT_EQ(publish("s.a", "1", [](jsPubOptions& o) { o.MsgId = "one"; }), 1U);
  EXPECT_TRUE(duplicate_);
  EXPECT_EQ(publish("s.a", "2", [](jsPubOptions& o) { o.ExpectLastSeq = 1; }), 2U);
  EXPECT_EQ(publish("s.a", "x", [](jsPubOptions& o) { o.ExpectLastSeq = 1; }), 0U);
  EXPECT_EQ(error_, JSStreamWrongLastSequenceErr);
  EXPECT_EQ(publish("s.b", "x", [](jsPubOptions& o) { o.ExpectLastSubjectSeq = 2; }), 0U);
  EXPECT_EQ(error_, JSStreamWrongLastSequenceErr);
  EXPECT_EQ(publish("s.b", "3", [](jsPubOptions& o) { o.ExpectNoMessage = true; }), 3U);
  EXPECT_EQ(publish("s.a", "x", [](jsPubOptions& o) { o.ExpectLastMsgId = "one"; }), 0U);
  EXPECT_EQ(error_, JSStreamWrongLastMsgIDErr);
  EXPECT_EQ(publish("s.a", "x", [](jsPubOptions& o) { o.ExpectStream = "T"; }), 0U);
  EXPECT_EQ(error_, JSStreamNotMatchErr);
  EXPECT_EQ(stream_info("S")->State.Msgs, 3U);
}

TEST_P(NatscStreams, GiveMessagesDirectlyAndDeleteThem) {
  add_stream("D", "d.*", [](jsStreamConfig& config) { config.AllowDirect = true; });
  ASSERT_EQ(status_, NATS_OK);
  publish("d.a", "one");
  publish("d.b", "two");
  publish("d.a", "three");
  jsDirectGetMsgOptions options;
  jsDirectGetMsgOptions_Init(&options);
  options.LastBySubject = "d.a";
  natsMsg* got = nullptr;
  ASSERT_EQ(js_DirectGetMsg(&got, js_.get(), "D", nullptr, &options), NATS_OK);
  const NatscMessage last(got);
  EXPECT_EQ(payload_of(last), "three");
  EXPECT_EQ(natsMsg_GetSequence(last.get()), 3U);
  ASSERT_EQ(js_DeleteMsg(js_.get(), "D", 3, nullptr, &error_), NATS_OK);
  got = nullptr;
  EXPECT_EQ(js_GetMsg(&got, js_.get(), "D", 3, nullptr, &error_), NATS_NOT_FOUND);
  if (GetParam() == ServerKind::kOurs) {  // nats-server 2.9.10 forgets the subject
    ASSERT_EQ(js_DirectGetMsg(&got, js_.get(), "D", nullptr, &options), NATS_OK);
    EXPECT_EQ(payload_of(NatscMessage(got)), "one");
  }
}

TEST_P(NatscStreams, SurviveAKill) {
  add_stream("S", "s.*");
  for (int i = 1; i <= 200; ++i) {
    ASSERT_EQ(publish("s.a", std::to_string(i)), static_cast<std::uint64_t>(i));
  }
  {
    const NatscSubscription worker = pull_subscribe("s.*", "worker", consumer_config());
    std::vector<NatscMessage> messages = fetch(worker, 100);
    ASSERT_EQ(messages.size(), 100U);
    for (const NatscMessage& message : messages) {
      ASSERT_EQ(natsMsg_AckSync(message.get(), nullptr, &error_), NATS_OK);
    }
  }
  restart_after_kill();
  const JsStream info = stream_info("S");
  ASSERT_NE(info, nullptr);
  EXPECT_EQ(info->State.Msgs, 200U);
  EXPECT_EQ(publish("s.a", "more"), 201U);
  if (GetParam() == ServerKind::kReference) {
    return;  // it forgets acknowledgements that it answered: they are written a little later
  }
  const NatscSubscription again = pull_subscribe("s.*", "worker", consumer_config());
  const std::vector<NatscMessage> rest = fetch(again, 101);
  ASSERT_EQ(rest.size(), 101U);
  EXPECT_EQ(payload_of(rest.front()), "101");
  EXPECT_EQ(payload_of(rest.back()), "more");
}

/// Which asynchronous publishes were acknowledged; called on nats.c's threads.
struct AckedSequences {
  std::mutex mutex;
  std::set<std::uint64_t> acked;
  std::map<std::uint64_t, std::string> texts;

  static void on_ack(jsCtx* /*js*/, natsMsg* message, jsPubAck* ack, jsPubAckErr*, void* self) {
    const NatscMessage owned(message);
    if (ack != nullptr) {
      auto& all = *static_cast<AckedSequences*>(self);
      const std::lock_guard<std::mutex> lock(all.mutex);
      all.acked.insert(ack->Sequence);
      all.texts[ack->Sequence] = payload_of(owned);
    }
  }
  std::size_t count() {
    const std::lock_guard<std::mutex> lock(mutex);
    return acked.size();
  }
};

TEST_P(NatscStreams, KeepWhatWasAcknowledgedWhenKilledUnderLoad) {
  add_stream("LOAD", "load.*");
  AckedSequences acks;
  for (int round = 0; round < 3; ++round) {
    jsOptions options;
    jsOptions_Init(&options);
    options.PublishAsync.AckHandler = AckedSequences::on_ack;
    options.PublishAsync.AckHandlerClosure = &acks;
    jsCtx* made = nullptr;
    ASSERT_EQ(natsConnection_JetStream(&made, connection_.get(), &options), NATS_OK);
    const JsContext publisher(made);
    const std::size_t enough = acks.count() + 500;
    for (int i = 0; acks.count() < enough; ++i) {
      const std::string text = std::to_string(round) + " " + std::to_string(i);
      ASSERT_EQ(js_PublishAsync(
                    publisher.get(), "load.a", text.data(), static_cast<int>(text.size()), nullptr),
                NATS_OK);
      if (i % 100 == 0) {
        nats_Sleep(1);  // or it would be far ahead of what is acknowledged
      }
    }
    restart_after_kill();
    const JsStream info = stream_info("LOAD");
    ASSERT_NE(info, nullptr);
    const std::lock_guard<std::mutex> lock(acks.mutex);
    ASSERT_GE(info->State.LastSeq, *acks.acked.rbegin());
    EXPECT_EQ(info->State.Msgs, info->State.LastSeq);
  }
  // Nothing of it was stored under another number, or changed.
  const NatscSubscription reader = pull_subscribe("load.*", "reader", consumer_config());
  std::map<std::uint64_t, std::string> stored;
  while (stored.empty() || stored.rbegin()->first < *acks.acked.rbegin()) {
    const std::vector<NatscMessage> messages = fetch(reader, 500, 2000);
    ASSERT_FALSE(messages.empty()) << natsStatus_GetText(status_);
    for (const NatscMessage& message : messages) {
      jsMsgMetaData* data = nullptr;
      ASSERT_EQ(natsMsg_GetMetaData(&data, message.get()), NATS_OK);
      stored[data->Sequence.Stream] = payload_of(message);
      jsMsgMetaData_Destroy(data);
      natsMsg_Ack(message.get(), nullptr);
    }
  }
  for (const auto& [seq, text] : acks.texts) {
    ASSERT_EQ(stored[seq], text) << seq;
  }
}

TEST_P(NatscStreams, ArePulledInOrderAndAcknowledged) {
  add_stream("PULL", "pull.*");
  for (int i = 0; i < 25; ++i) {
    publish("pull.a", std::to_string(i));
  }
  const NatscSubscription worker = pull_subscribe("pull.*", "worker", consumer_config());
  for (int begin = 0; begin < 25; begin += 10) {
    const std::vector<NatscMessage> messages = fetch(worker, 10, 300);
    ASSERT_EQ(messages.size(), begin == 20 ? 5U : 10U);
    for (std::size_t i = 0; i < messages.size(); ++i) {
      EXPECT_EQ(payload_of(messages[i]), std::to_string(begin + static_cast<int>(i)));
      ASSERT_EQ(natsMsg_AckSync(messages[i].get(), nullptr, &error_), NATS_OK);
    }
  }
  jsConsumerInfo* made = nullptr;
  ASSERT_EQ(js_GetConsumerInfo(&made, js_.get(), "PULL", "worker", nullptr, &error_), NATS_OK);
  const JsConsumer info(made);
  EXPECT_EQ(info->NumAckPending, 0);
  EXPECT_EQ(info->NumPending, 0U);
  EXPECT_EQ(info->AckFloor.Stream, 25U);
  EXPECT_TRUE(fetch(worker, 1, 50).empty());
  EXPECT_EQ(status_, NATS_TIMEOUT);
}

TEST_P(NatscStreams, DeliverAgainWhatIsRejected) {
  add_stream("S", "s.*");
  publish("s.a", "one");
  publish("s.a", "two");
  const NatscSubscription worker = pull_subscribe("s.*", "worker", consumer_config());
  std::vector<NatscMessage> first = fetch(worker, 2);
  ASSERT_EQ(first.size(), 2U);
  ASSERT_EQ(natsMsg_Nak(first[0].get(), nullptr), NATS_OK);
  ASSERT_EQ(natsMsg_Term(first[1].get(), nullptr), NATS_OK);
  const std::vector<NatscMessage> again = fetch(worker, 1);
  ASSERT_EQ(again.size(), 1U);
  EXPECT_EQ(payload_of(again[0]), "one");
  jsMsgMetaData* data = nullptr;
  ASSERT_EQ(natsMsg_GetMetaData(&data, again[0].get()), NATS_OK);
  EXPECT_EQ(data->NumDelivered, 2U);
  EXPECT_EQ(data->Sequence.Stream, 1U);
  EXPECT_EQ(data->Sequence.Consumer, 3U);
  jsMsgMetaData_Destroy(data);
  ASSERT_EQ(natsMsg_AckSync(again[0].get(), nullptr, &error_), NATS_OK);
  EXPECT_TRUE(fetch(worker, 1, 50).empty());
}

TEST_P(NatscStreams, PushToASubscriber) {
  add_stream("PUSH", "push.*");
  for (int i = 0; i < 10; ++i) {
    publish("push.a", std::to_string(i));
  }
  jsSubOptions options;
  jsSubOptions_Init(&options);
  options.Stream = "PUSH";
  options.Config.Durable = "pusher";
  natsSubscription* made = nullptr;
  ASSERT_EQ(js_SubscribeSync(&made, js_.get(), "push.*", nullptr, &options, &error_), NATS_OK)
      << error_;
  const NatscSubscription subscription(made);
  for (int i = 0; i < 10; ++i) {
    const NatscMessage message = natsc_next(subscription);
    ASSERT_EQ(payload_of(message), std::to_string(i));
    ASSERT_EQ(natsMsg_Ack(message.get(), nullptr), NATS_OK);
  }
  publish("push.b", "later");
  EXPECT_EQ(payload_of(natsc_next(subscription)), "later");
}

TEST_P(NatscStreams, AreReadByAnOrderedConsumer) {
  add_stream("O", "o.*");
  constexpr int kMessages = 3000;
  const std::string filler(500, 'x');
  for (int i = 0; i < kMessages; ++i) {
    const std::string text = std::to_string(i) + " " + filler;
    ASSERT_EQ(
        js_PublishAsync(js_.get(), "o.a", text.data(), static_cast<int>(text.size()), nullptr),
        NATS_OK);
  }
  ASSERT_EQ(js_PublishAsyncComplete(js_.get(), nullptr), NATS_OK);
  jsSubOptions options;
  jsSubOptions_Init(&options);
  options.Ordered = true;
  natsSubscription* made = nullptr;
  ASSERT_EQ(js_SubscribeSync(&made, js_.get(), "o.*", nullptr, &options, &error_), NATS_OK)
      << error_;
  const NatscSubscription subscription(made);
  for (int i = 0; i < kMessages; ++i) {
    const std::string text = payload_of(natsc_next(subscription));
    ASSERT_EQ(text.substr(0, text.find(' ')), std::to_string(i));
  }
}

TEST_P(NatscStreams, KeepKeysAndValues) {
  kvConfig config;
  kvConfig_Init(&config);
  config.Bucket = "settings";
  config.History = 5;
  kvStore* made = nullptr;
  ASSERT_EQ(js_CreateKeyValue(&made, js_.get(), &config), NATS_OK);
  const Bucket bucket(made);
  std::uint64_t revision = 0;
  ASSERT_EQ(kvStore_PutString(&revision, bucket.get(), "colour", "red"), NATS_OK);
  EXPECT_EQ(revision, 1U);
  ASSERT_EQ(kvStore_UpdateString(&revision, bucket.get(), "colour", "blue", 1), NATS_OK);
  EXPECT_EQ(kvStore_UpdateString(nullptr, bucket.get(), "colour", "green", 1), NATS_ERR);
  EXPECT_EQ(kvStore_CreateString(nullptr, bucket.get(), "colour", "green"), NATS_ERR);
  ASSERT_EQ(kvStore_CreateString(&revision, bucket.get(), "shape", "round"), NATS_OK);
  kvEntry* got = nullptr;
  ASSERT_EQ(kvStore_Get(&got, bucket.get(), "colour"), NATS_OK);
  const Entry entry(got);
  EXPECT_STREQ(kvEntry_ValueString(entry.get()), "blue");
  EXPECT_EQ(kvEntry_Revision(entry.get()), 2U);

  kvWatcher* watching = nullptr;
  ASSERT_EQ(kvStore_WatchAll(&watching, bucket.get(), nullptr), NATS_OK);
  const Watcher watcher(watching);
  std::set<std::string> seen;
  while (true) {
    kvEntry* next = nullptr;
    ASSERT_EQ(kvWatcher_Next(&next, watcher.get(), 5000), NATS_OK);
    if (next == nullptr) {
      break;  // all that was there
    }
    const Entry owned(next);
    seen.insert(std::string(kvEntry_Key(next)) + "=" + kvEntry_ValueString(next));
  }
  EXPECT_EQ(seen, (std::set<std::string>{"colour=blue", "shape=round"}));

  ASSERT_EQ(kvStore_Delete(bucket.get(), "shape"), NATS_OK);
  got = nullptr;
  EXPECT_EQ(kvStore_Get(&got, bucket.get(), "shape"), NATS_NOT_FOUND);
  kvKeysList keys = {};
  ASSERT_EQ(kvStore_Keys(&keys, bucket.get(), nullptr), NATS_OK);
  ASSERT_EQ(keys.Count, 1);
  EXPECT_STREQ(keys.Keys[0], "colour");
  kvKeysList_Destroy(&keys);
}

}  // namespace
}  // namespace feedvault::broker::testing
