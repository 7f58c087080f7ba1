using System.Text.RegularExpressions;
using Microsoft.Extensions.Options;

namespace Librarian.Domain.Configuration;

/// <summary>Checks the options at start; every message names the setting, its value and the fix.</summary>
public sealed partial class SiteOptionsValidator : IValidateOptions<SiteOptions>
{
    private static readonly TimeSpan LongestRetention = TimeSpan.FromDays(36_500);

    /// <inheritdoc />
    public ValidateOptionsResult Validate(string? name, SiteOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        var problems = new Problems();
        CheckSite(options, problems);
        CheckAccounts(options, problems);
        CheckReading(options, problems);
        CheckRetention(options, problems);
        problems.Check(
            options.Stores.Count > 0,
            "Stores",
            "(none)",
            "configure at least one store: Site:Stores:0:Name, :StagingPath and :StorePath."
        );
        for (var i = 0; i < options.Stores.Count; i++)
            CheckStore(options, i, problems);
        for (var i = 0; i < options.Peers.Count; i++)
            CheckPeer(options, i, problems);
        CheckServices(options, problems);
        return problems.Found.Count == 0 ? ValidateOptionsResult.Success : ValidateOptionsResult.Fail(problems.Found);
    }

    private static void CheckSite(SiteOptions options, Problems problems)
    {
        problems.Check(
            SiteName().IsMatch(options.Name),
            "Name",
            options.Name,
            "use 1 to 64 letters, digits, '.', '-' or '_' (it is this site's account name at its peers)."
        );
        problems.Check(
            Uri.TryCreate(options.PublicBaseUrl, UriKind.Absolute, out var url) && url.Scheme is "http" or "https",
            "PublicBaseUrl",
            options.PublicBaseUrl,
            "give the address others use, such as https://librarian.example.org."
        );
        problems.Check(
            Path.IsPathFullyQualified(options.DataDirectory),
            "DataDirectory",
            options.DataDirectory,
            "give an absolute directory such as /var/lib/librarian."
        );
        problems.Check(
            !IsBelow(options.DataDirectory, AppContext.BaseDirectory),
            "DataDirectory",
            options.DataDirectory,
            "move it out of the program's directory: the Functions host restarts the site whenever that changes."
        );
        problems.Check(
            options.DatabaseWait >= TimeSpan.Zero && options.DatabaseWait <= TimeSpan.FromDays(20),
            "DatabaseWait",
            options.DatabaseWait,
            "use zero (not at all) up to 20 days, such as 00:05:00."
        );
    }

    private static void CheckAccounts(SiteOptions options, Problems problems)
    {
        problems.Check(
            options.AdminUser.Length is > 0 and <= 64 && options.AdminUser.All(c => char.IsAscii(c) && !char.IsControl(c) && c != ':'),
            "AdminUser",
            options.AdminUser,
            "use printable ASCII without ':' (HTTP Basic splits there)."
        );
        problems.Check(
            options.AdminPassword is null || options.AdminPassword.All(char.IsAscii),
            "AdminPassword",
            "(hidden)",
            "use ASCII characters (wire.md: others cannot be sent)."
        );
        problems.Check(
            options.MaximalUploadSizeBytes > 0,
            "MaximalUploadSizeBytes",
            options.MaximalUploadSizeBytes,
            "give a positive number of bytes."
        );
        problems.Check(
            options.MaximalPromisedBytesPerAccount is null or > 0,
            "MaximalPromisedBytesPerAccount",
            options.MaximalPromisedBytesPerAccount,
            "give a positive number of bytes, or leave it out."
        );
    }

    private static void CheckReading(SiteOptions options, Problems problems)
    {
        problems.Check(options.MaxSearchResults is >= 1 and <= 10_000, "MaxSearchResults", options.MaxSearchResults, "use 1 to 10000.");
        problems.Check(options.ChecksumParallelism is >= 1 and <= 64, "ChecksumParallelism", options.ChecksumParallelism, "use 1 to 64.");
        problems.Check(options.IngestParallelism is >= 1 and <= 64, "IngestParallelism", options.IngestParallelism, "use 1 to 64.");
        problems.Check(
            options.ChecksumLifetime >= TimeSpan.Zero,
            "ChecksumLifetime",
            options.ChecksumLifetime,
            "use zero (always read) or more."
        );
        problems.Check(
            options.ProbeReadAge >= TimeSpan.Zero,
            "ProbeReadAge",
            options.ProbeReadAge,
            "use zero (always read) or more, such as 30.00:00:00 for thirty days."
        );
        problems.Check(
            options.ValidationTimeout > TimeSpan.Zero && options.ValidationTimeout <= TimeSpan.FromDays(20),
            "ValidationTimeout",
            options.ValidationTimeout,
            "use more than zero and up to 20 days."
        );
    }

    private static void CheckRetention(SiteOptions options, Problems problems)
    {
        problems.Check(
            options.CredentialLifetime > TimeSpan.Zero && options.CredentialLifetime <= TimeSpan.FromHours(24),
            "CredentialLifetime",
            options.CredentialLifetime,
            "use up to 24:00:00."
        );
        problems.Check(
            options.OutgoingReviewAge > TimeSpan.Zero,
            "OutgoingReviewAge",
            options.OutgoingReviewAge,
            "use a positive duration such as 06:00:00."
        );
        problems.Check(
            options.IncomingReviewAge >= options.OutgoingReviewAge,
            "IncomingReviewAge",
            options.IncomingReviewAge,
            "let outgoing transfers be reviewed sooner than incoming ones."
        );

        problems.Check(
            options.FinishedInstanceRetention >= TimeSpan.FromMinutes(1) && options.FinishedInstanceRetention <= LongestRetention,
            "FinishedInstanceRetention",
            options.FinishedInstanceRetention,
            "use 00:01:00 to 36500.00:00:00, such as 30.00:00:00 for thirty days."
        );
        problems.Check(
            options.FailedInstanceRetention >= options.FinishedInstanceRetention && options.FailedInstanceRetention <= LongestRetention,
            "FailedInstanceRetention",
            options.FailedInstanceRetention,
            "keep failed orchestrations at least as long as finished ones, at most 36500.00:00:00."
        );
    }

    private static void CheckStore(SiteOptions options, int i, Problems problems)
    {
        var store = options.Stores[i];
        problems.Check(
            store.Name.Length is > 0 and <= 256 && !store.Name.Any(char.IsControl),
            $"Stores:{i}:Name",
            store.Name,
            "give the store a name of 1 to 256 characters, none of them a control character."
        );
        problems.Check(
            options.Stores.FindIndex(s => s.Name == store.Name) == i,
            $"Stores:{i}:Name",
            store.Name,
            "use each store name once."
        );
        problems.Check(
            Path.IsPathFullyQualified(store.StagingPath),
            $"Stores:{i}:StagingPath",
            store.StagingPath,
            "give an absolute directory."
        );
        problems.Check(Path.IsPathFullyQualified(store.StorePath), $"Stores:{i}:StorePath", store.StorePath, "give an absolute directory.");
        problems.Check(
            !IsBelow(store.StagingPath, store.StorePath) && !IsBelow(store.StorePath, store.StagingPath),
            $"Stores:{i}:StagingPath",
            store.StagingPath,
            "keep staging and store directories apart; neither may lie in the other."
        );
        foreach (var other in options.Stores.Take(i))
        {
            problems.Check(
                !Overlap(store.StorePath, other.StorePath) && !Overlap(store.StorePath, other.StagingPath),
                $"Stores:{i}:StorePath",
                store.StorePath,
                $"keep it apart from the directories of store '{other.Name}', {other.StagingPath} and {other.StorePath}."
            );
            problems.Check(
                !Overlap(store.StagingPath, other.StorePath),
                $"Stores:{i}:StagingPath",
                store.StagingPath,
                $"keep it apart from {other.StorePath} of store '{other.Name}'."
            );
        }

        problems.Check(
            store.FullFraction is >= 0 and <= 1,
            $"Stores:{i}:FullFraction",
            store.FullFraction,
            "use a share from 0 (takes nothing new) to 1."
        );
    }

    private static void CheckPeer(SiteOptions options, int i, Problems problems)
    {
        var peer = options.Peers[i];
        problems.Check(SiteName().IsMatch(peer.Name), $"Peers:{i}:Name", peer.Name, "give the peer's site name.");
        problems.Check(peer.Name != options.Name, $"Peers:{i}:Name", peer.Name, "a site cannot be its own peer.");
        problems.Check(options.Peers.FindIndex(p => p.Name == peer.Name) == i, $"Peers:{i}:Name", peer.Name, "list each peer once.");
        problems.Check(peer.BatchSize is >= 1 and <= 1024, $"Peers:{i}:BatchSize", peer.BatchSize, "use 1 to 1024 files.");
        problems.Check(peer.MaxBatchesInFlight is >= 1 and <= 64, $"Peers:{i}:MaxBatchesInFlight", peer.MaxBatchesInFlight, "use 1 to 64.");
        problems.Check(
            peer.PublicKey.Length == 0 || Security.SitePublicKey.TryParse(peer.PublicKey, out _),
            $"Peers:{i}:PublicKey",
            peer.PublicKey,
            "give the line that 'librarian drive key' prints there, ed25519:… ."
        );
        foreach (var root in peer.LocalRoots)
        {
            problems.Check(Path.IsPathFullyQualified(root), $"Peers:{i}:LocalRoots", root, "give absolute directories.");
        }
    }

    private static void CheckServices(SiteOptions options, Problems problems)
    {
        var hub = options.Durable.Grpc;
        problems.Check(
            hub.Length == 0 || (Uri.TryCreate(hub, UriKind.Absolute, out var at) && at.Scheme is "http" or "https"),
            "Durable:Grpc",
            hub,
            "give the http or https address of a Durable Task hub, such as http://hub:4001, or leave it out for the built-in engine."
        );
        problems.Check(options.Drives.Parallelism is >= 1 and <= 64, "Drives:Parallelism", options.Drives.Parallelism, "use 1 to 64.");
        problems.Check(
            options.Drives.PollInterval > TimeSpan.Zero && options.Drives.PollInterval <= TimeSpan.FromDays(1),
            "Drives:PollInterval",
            options.Drives.PollInterval,
            "use more than zero and up to a day."
        );
        problems.Check(
            string.IsNullOrEmpty(options.Drives.ArchiveDirectory) || Path.IsPathFullyQualified(options.Drives.ArchiveDirectory),
            "Drives:ArchiveDirectory",
            options.Drives.ArchiveDirectory,
            "give an absolute directory or leave it empty."
        );
        for (var i = 0; i < options.Alerts.Webhooks.Count; i++)
        {
            var hook = options.Alerts.Webhooks[i];
            problems.Check(
                Uri.TryCreate(hook.Url, UriKind.Absolute, out var address) && address.Scheme is "http" or "https",
                $"Alerts:Webhooks:{i}:Url",
                "(hidden)",
                "give an absolute http or https address."
            );
            problems.Check(hook.Format is "slack" or "json", $"Alerts:Webhooks:{i}:Format", hook.Format, "use slack or json.");
        }
    }

    private static bool Overlap(string path, string other) => IsBelow(path, other) || IsBelow(other, path);

    private static bool IsBelow(string path, string root)
    {
        if (!Path.IsPathFullyQualified(path) || !Path.IsPathFullyQualified(root))
            return false;
        var full = Path.TrimEndingDirectorySeparator(Path.GetFullPath(path));
        var above = Path.TrimEndingDirectorySeparator(Path.GetFullPath(root));
        return full == above || full.StartsWith(above + "/", StringComparison.Ordinal);
    }

    [GeneratedRegex("^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", RegexOptions.None, matchTimeoutMilliseconds: 1000)]
    private static partial Regex SiteName();

    private sealed class Problems
    {
        public List<string> Found { get; } = [];

        public void Check(bool ok, string setting, object? value, string fix)
        {
            if (!ok)
                Found.Add($"Setting Site:{setting} is '{value}': {fix}");
        }
    }
}
