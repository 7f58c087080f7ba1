using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Librarian.Durable.Worker;

/// <summary>Spans and counters; the names are public contract.</summary>
internal static class Telemetry
{
    public const string Name = "Librarian.Durable";
    public static readonly ActivitySource Source = new(Name);
    private static readonly Meter Meter = new(Name);

    public static readonly Counter<long> Activities = Meter.CreateCounter<long>("durable.activities", "{activity}", "Activities started");
    public static readonly Counter<long> Turns = Meter.CreateCounter<long>("durable.turns", "{turn}", "Turns committed");
    public static readonly Counter<long> Fenced = Meter.CreateCounter<long>("durable.fenced", "{turn}", "Turns discarded because ownership was lost");
    public static readonly Counter<long> Ended = Meter.CreateCounter<long>("durable.instances.ended", "{instance}", "Instances ended, by status");
}
