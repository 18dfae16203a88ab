// SPDX-License-Identifier: Apache-2.0
// One bulk TCP flow, sender - router - receiver, for comparison with our packet engine.
//
// Prints one JSON object: what was delivered, how long Simulator::Run took on the wall clock, and the
// sender's state on a grid of time. What `compare.py` needs to make equal is an argument.
//
// Framing: ns-3's point-to-point link has 2 bytes of layer 2 header, ours 14 (Ethernet). The missing
// bytes are transmitted as an interframe gap, which is waited for after each packet; since the packet
// itself arrives that much earlier, the gap is added to the delay. So each packet occupies the link,
// and arrives, as if it were longer.

#include "ns3/applications-module.h"
#include "ns3/core-module.h"
#include "ns3/internet-module.h"
#include "ns3/network-module.h"
#include "ns3/point-to-point-module.h"

#include <chrono>
#include <ctime>
#include <iostream>
#include <vector>

using namespace ns3;

namespace
{

struct Arguments
{
    std::string control = "ns3::TcpCubic";
    uint64_t rateBps = 100'000'000;
    int64_t linkDelayNs = 25'000'000;
    uint32_t queueBytes = 1'250'000; // of packets as ns-3 counts them, PPP header included
    uint32_t missingBytes = 12;      // layer 2 bytes that a packet has on our links and not here
    uint32_t mss = 1448;
    uint32_t initialWindow = 10;
    uint32_t bufferBytes = 64 << 20;
    int64_t delayedAckNs = 40'000'000;
    int64_t minRtoNs = 200'000'000;
    bool timestamps = true;
    bool hystart = true;
    int64_t hystartDelayMaxNs = 16'000'000;
    int64_t durationNs = 10'000'000'000;
    int64_t tickNs = 10'000'000;
};

// What is counted and last seen; the callbacks store and do nothing else.
struct Watch
{
    uint64_t dataPackets = 0;
    uint64_t queueDrops = 0;
    uint64_t timeouts = 0;
    uint32_t cwnd = 0;
    uint32_t ssthresh = 0;
    int64_t rttNs = 0;
};

struct Row
{
    uint64_t delivered;
    uint32_t cwnd;
    uint32_t ssthresh;
    int64_t rttNs;
    uint64_t drops;
    uint64_t timeouts;
};

Watch g_watch;
std::vector<Row> g_rows;
constexpr uint32_t ACK_BYTES_MOST = 200;

void
OnReceived(Ptr<const Packet> packet)
{
    if (packet->GetSize() > ACK_BYTES_MOST)
    {
        g_watch.dataPackets++;
    }
}

void
OnDrop(Ptr<const Packet> /* packet */)
{
    g_watch.queueDrops++;
}

void
OnCwnd(uint32_t /* before */, uint32_t now)
{
    g_watch.cwnd = now;
}

void
OnSsthresh(uint32_t /* before */, uint32_t now)
{
    g_watch.ssthresh = now;
}

void
OnRtt(Time /* before */, Time now)
{
    g_watch.rttNs = now.GetNanoSeconds();
}

void
OnCongestionState(TcpSocketState::TcpCongState_t before, TcpSocketState::TcpCongState_t now)
{
    if (now == TcpSocketState::CA_LOSS && before != now)
    {
        g_watch.timeouts++;
    }
}

void
Sample(Ptr<PacketSink> sink, Time tick)
{
    g_rows.push_back({sink->GetTotalRx(),
                      g_watch.cwnd,
                      g_watch.ssthresh,
                      g_watch.rttNs,
                      g_watch.queueDrops,
                      g_watch.timeouts});
    Simulator::Schedule(tick, &Sample, sink, tick);
}

// The socket exists once the application has started.
void
WatchSender(Ptr<BulkSendApplication> application)
{
    Ptr<Socket> socket = application->GetSocket();
    socket->TraceConnectWithoutContext("CongestionWindow", MakeCallback(&OnCwnd));
    socket->TraceConnectWithoutContext("SlowStartThreshold", MakeCallback(&OnSsthresh));
    socket->TraceConnectWithoutContext("CongState", MakeCallback(&OnCongestionState));
    socket->TraceConnectWithoutContext("RTT", MakeCallback(&OnRtt));
}

Arguments
Parse(int argc, char* argv[])
{
    Arguments given;
    CommandLine line(__FILE__);
    line.AddValue("control", "TypeId of the congestion control", given.control);
    line.AddValue("rateBps", "rate of both links, layer 2 bit/s", given.rateBps);
    line.AddValue("linkDelayNs", "one-way delay of each of the two links", given.linkDelayNs);
    line.AddValue("queueBytes", "drop-tail queue of each link direction", given.queueBytes);
    line.AddValue("missingBytes", "framing to be made up by a gap", given.missingBytes);
    line.AddValue("mss", "payload bytes of a segment", given.mss);
    line.AddValue("initialWindow", "segments", given.initialWindow);
    line.AddValue("bufferBytes", "send and receive buffer", given.bufferBytes);
    line.AddValue("delayedAckNs", "timer of the delayed ACK", given.delayedAckNs);
    line.AddValue("minRtoNs", "least retransmission timeout", given.minRtoNs);
    line.AddValue("timestamps", "TCP timestamps (RFC 7323)", given.timestamps);
    line.AddValue("hystart", "CUBIC leaves slow start by HyStart", given.hystart);
    line.AddValue("hystartDelayMaxNs", "TcpCubic::HyStartDelayMax", given.hystartDelayMaxNs);
    line.AddValue("durationNs", "simulated time", given.durationNs);
    line.AddValue("tickNs", "grid of the series", given.tickNs);
    line.Parse(argc, argv);
    return given;
}

void
ConfigureTcp(const Arguments& given)
{
    Config::SetDefault("ns3::TcpL4Protocol::SocketType", StringValue(given.control));
    Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(given.mss));
    Config::SetDefault("ns3::TcpSocket::InitialCwnd", UintegerValue(given.initialWindow));
    Config::SetDefault("ns3::TcpSocket::SndBufSize", UintegerValue(given.bufferBytes));
    Config::SetDefault("ns3::TcpSocket::RcvBufSize", UintegerValue(given.bufferBytes));
    Config::SetDefault("ns3::TcpSocket::DelAckCount", UintegerValue(2));
    Config::SetDefault("ns3::TcpSocket::DelAckTimeout", TimeValue(NanoSeconds(given.delayedAckNs)));
    Config::SetDefault("ns3::TcpSocketBase::MinRto", TimeValue(NanoSeconds(given.minRtoNs)));
    Config::SetDefault("ns3::TcpSocketBase::Timestamp", BooleanValue(given.timestamps));
    Config::SetDefault("ns3::TcpSocketBase::Sack", BooleanValue(true));
    Config::SetDefault("ns3::TcpSocketBase::WindowScaling", BooleanValue(true));
    Config::SetDefault("ns3::TcpCubic::HyStart", BooleanValue(given.hystart));
    Config::SetDefault("ns3::TcpCubic::HyStartDelayMax",
                       TimeValue(NanoSeconds(given.hystartDelayMaxNs)));
}

// Sender, router, receiver. Without flow control between queue and IP no queueing discipline is
// installed above the device's queue, so that is the only one, and it counts all that it drops.
NodeContainer
BuildNetwork(const Arguments& given)
{
    const Time gap = NanoSeconds(given.missingBytes * 8'000'000'000ULL / given.rateBps);
    NodeContainer nodes;
    nodes.Create(3);
    PointToPointHelper link;
    link.DisableFlowControl();
    link.SetDeviceAttribute("DataRate", DataRateValue(DataRate(given.rateBps)));
    link.SetDeviceAttribute("InterframeGap", TimeValue(gap));
    link.SetChannelAttribute("Delay", TimeValue(NanoSeconds(given.linkDelayNs) + gap));
    link.SetQueue("ns3::DropTailQueue<Packet>",
                  "MaxSize",
                  QueueSizeValue(QueueSize(QueueSizeUnit::BYTES, given.queueBytes)));
    InternetStackHelper stack;
    stack.Install(nodes);
    Ipv4AddressHelper addresses;
    for (uint32_t hop = 0; hop < 2; hop++)
    {
        NetDeviceContainer ends = link.Install(nodes.Get(hop), nodes.Get(hop + 1));
        addresses.SetBase(hop == 0 ? "10.0.0.0" : "10.0.1.0", "255.255.255.0");
        addresses.Assign(ends);
        auto device = DynamicCast<PointToPointNetDevice>(ends.Get(0));
        device->GetQueue()->TraceConnectWithoutContext("Drop", MakeCallback(&OnDrop));
    }
    Ipv4GlobalRoutingHelper::PopulateRoutingTables();
    nodes.Get(2)->GetDevice(1)->TraceConnectWithoutContext("MacRx", MakeCallback(&OnReceived));
    return nodes;
}

Ptr<PacketSink>
InstallApplications(const NodeContainer& nodes, const Arguments& given)
{
    const uint16_t port = 5000;
    const Ipv4Address address = nodes.Get(2)->GetObject<Ipv4>()->GetAddress(1, 0).GetLocal();
    PacketSinkHelper receiver("ns3::TcpSocketFactory",
                              InetSocketAddress(Ipv4Address::GetAny(), port));
    Ptr<PacketSink> sink = DynamicCast<PacketSink>(receiver.Install(nodes.Get(2)).Get(0));
    BulkSendHelper sender("ns3::TcpSocketFactory", InetSocketAddress(address, port));
    sender.SetAttribute("SendSize", UintegerValue(given.mss));
    auto source = DynamicCast<BulkSendApplication>(sender.Install(nodes.Get(0)).Get(0));
    Simulator::Schedule(NanoSeconds(1), &WatchSender, source);
    const Time tick = NanoSeconds(given.tickNs);
    Simulator::Schedule(tick, &Sample, sink, tick);
    return sink;
}

void
Print(double wallS, double cpuS, uint64_t events)
{
    std::cout << "{\"wall_s\": " << wallS << ", \"cpu_s\": " << cpuS << ", \"events\": " << events
              << ", \"data_packets\": " << g_watch.dataPackets
              << ", \"rows\": [";
    const char* separator = "";
    for (const Row& row : g_rows)
    {
        std::cout << separator << "[" << row.delivered << "," << row.cwnd << "," << row.ssthresh
                  << "," << row.rttNs << "," << row.drops << "," << row.timeouts << "]";
        separator = ",";
    }
    std::cout << "]}" << std::endl;
}

} // namespace

int
main(int argc, char* argv[])
{
    const Arguments given = Parse(argc, argv);
    ConfigureTcp(given);
    const NodeContainer nodes = BuildNetwork(given);
    InstallApplications(nodes, given);
    // The last tick still belongs to the series.
    Simulator::Stop(NanoSeconds(given.durationNs + 1));
    const auto began = std::chrono::steady_clock::now();
    const std::clock_t cpuBegan = std::clock();
    Simulator::Run();
    const double cpuS = double(std::clock() - cpuBegan) / CLOCKS_PER_SEC;
    const std::chrono::duration<double> wall = std::chrono::steady_clock::now() - began;
    Print(wall.count(), cpuS, Simulator::GetEventCount());
    Simulator::Destroy();
    return 0;
}
