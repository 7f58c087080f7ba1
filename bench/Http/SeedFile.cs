using System.Globalization;

namespace Librarian.Bench.Http;

/// <summary>
/// File number <see cref="Number"/> of a catalog. All its properties follow from its number, so nothing has to remember them. It came here
/// by a transfer that ended long ago, is on the only store and has a copy at the peer.
/// </summary>
internal readonly record struct SeedFile(int Number, int Count, DateTime Newest)
{
    public const string PeerName = "archive";

    /// <summary>Uploader and source of the oldest files and of no others.</summary>
    public const string Departed = "old-hand";

    private const int DepartedFiles = 100;
    private const int SecondsApart = 30;

    /// <summary>About as long as names at HERA.</summary>
    public string Name =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"zen/{2459000 + (Number / 1000)}/zen.{2459000 + (Number / 1000)}.{Number % 1000:D5}.sum.uvh5"
        );

    public string Checksum =>
        string.Create(
            CultureInfo.InvariantCulture,
            $"xxh3:::{(ulong)Number * 0x9E3779B97F4A7C15:x16}{(ulong)Number * 0xC2B2AE3D27D4EB4F:x16}"
        );

    public long Size => 1_000_000 + (Number * 7919L % 1_000_000);

    public DateTime Time => Newest.AddSeconds(-(Count - Number) * (double)SecondsApart);

    public string Uploader =>
        Number < DepartedFiles
            ? Departed
            : (Number % 10) switch
            {
                < 6 => "correlator",
                < 9 => "mountain",
                _ => "analysis",
            };

    public string Source => Uploader == "analysis" ? "pipeline" : Uploader;
}
