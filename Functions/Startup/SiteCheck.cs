using System.Globalization;
using Librarian.Client;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Domain.Peers;
using Librarian.Domain.Posix;
using Librarian.Domain.Stores;
using Librarian.Durable.Hub;
using Microsoft.EntityFrameworkCore;

namespace Librarian.Functions.Startup;

/// <summary>
/// The verb <c>librarian-site check</c>: checks everything that a site needs, and says for each item whether it is in order and what to do.
/// It changes nothing in the site's directories or in the database, and may run beside the site.
/// </summary>
public sealed partial class SiteCheck
{
    private static readonly TimeSpan AnswerTimeout = TimeSpan.FromSeconds(20);
    private static readonly TimeSpan Skew = TimeSpan.FromSeconds(60);
    private readonly SiteOptions _options;
    private readonly TextWriter _output;
    private readonly TimeProvider _time;
    private DirectoryInfo? _copy;
    private bool _failed;

    private SiteCheck(SiteOptions options, TextWriter output, TimeProvider time) => (_options, _output, _time) = (options, output, time);

    /// <summary>Runs the verb.</summary>
    /// <param name="configuration">Reads the settings.</param>
    /// <param name="output">Receives a line for each item.</param>
    /// <param name="time">The clock.</param>
    /// <param name="cancellationToken">Cancels the checks.</param>
    /// <returns><see cref="SiteCommandLine.Success"/>, or <see cref="SiteCommandLine.Failure"/> if an item is an error.</returns>
    public static async Task<int> RunAsync(
        Func<IConfiguration> configuration,
        TextWriter output,
        TimeProvider time,
        CancellationToken cancellationToken
    )
    {
        ArgumentNullException.ThrowIfNull(configuration);
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(time);
        SiteOptions options;
        try
        {
            options = configuration().GetSection(SiteOptions.Section).Get<SiteOptions>() ?? new SiteOptions();
        }
        catch (Exception e) when (e is InvalidOperationException or IOException or FormatException)
        {
            await new SiteCheck(new SiteOptions(), output, time).SayAsync("error", "settings", e.Message);
            return SiteCommandLine.Failure;
        }

        var check = new SiteCheck(options, output, time);
        try
        {
            await check.RunAsync(cancellationToken);
        }
        finally
        {
            check._copy?.Delete(recursive: true);
        }

        return check._failed ? SiteCommandLine.Failure : SiteCommandLine.Success;
    }

    private async Task RunAsync(CancellationToken stop)
    {
        if (new SiteOptionsValidator().Validate(null, _options) is { Failed: true } wrong)
        {
            foreach (var failure in wrong.Failures)
                await ErrorAsync("settings", failure);
            // The checks below would only report invalid directories and addresses a second time.
            return;
        }

        await OkAsync("settings", $"site '{_options.Name}' at {_options.PublicBaseUrl}");
        await CheckDataDirectoryAsync();
        using var catalog = await OpenCatalogAsync(stop);
        foreach (var store in _options.Stores)
            await CheckStoreAsync(store, catalog, stop);
        if (_options.Durable.Grpc.Length > 0)
            await CheckHubAsync(new Uri(_options.Durable.Grpc), stop);
        if (catalog is not null)
            await CheckPeersAsync(catalog, stop);
    }

    private async Task CheckHubAsync(Uri address, CancellationToken stop)
    {
        if (await HubProbe.FindProblemAsync(address, _time, AnswerTimeout, stop) is { } problem)
            await ErrorAsync(
                "hub",
                $"{address} does not answer: {problem}. No file is stored or sent before it does. "
                    + "Start the hub, or correct Site:Durable:Grpc."
            );
        else
            await OkAsync("hub", $"{address}");
    }

    private async Task CheckDataDirectoryAsync()
    {
        var directory = _options.DataDirectory;
        if (!Directory.Exists(directory))
        {
            await CheckMissingAsync("data", directory);
            return;
        }

        if (DirectoryProbe.WriteRefusal(directory) is { } why)
            await ErrorAsync(
                "data",
                $"{directory} cannot be written: {why}. Give it to the site's account ({Environment.UserName}), "
                    + "or correct Site:DataDirectory."
            );
        else if (
            (
                File.GetUnixFileMode(directory)
                & (UnixFileMode.GroupRead | UnixFileMode.GroupExecute | UnixFileMode.OtherRead | UnixFileMode.OtherExecute)
            ) != UnixFileMode.None
        )
            await WarnAsync("data", $"{directory} can be read by other accounts; the site makes it its own when it starts (chmod 700).");
        else
            await OkAsync("data", directory);
    }

    private async Task CheckMissingAsync(string subject, string directory)
    {
        var above = Path.GetDirectoryName(Path.TrimEndingDirectorySeparator(directory));
        while (above is not null && !Directory.Exists(above))
            above = Path.GetDirectoryName(above);
        if (above is null || DirectoryProbe.WriteRefusal(above) is { } why)
            await ErrorAsync(
                subject,
                $"{directory} does not exist and cannot be made by {Environment.UserName}. Make it and give it to that account, or correct "
                    + "the setting."
            );
        else
            await WarnAsync(
                subject,
                $"{directory} does not exist; the first start makes it. If it should be there, mount it or correct the setting."
            );
    }

    private async Task CheckStoreAsync(StoreOptions store, CatalogDatabase? catalog, CancellationToken stop)
    {
        var subject = $"store {store.Name}";
        var complete = true;
        foreach (var path in new[] { store.StagingPath, store.StorePath })
        {
            if (!Directory.Exists(path))
                await CheckMissingAsync(subject, path);
            else if (DirectoryProbe.WriteRefusal(path) is { } why)
                await ErrorAsync(
                    subject,
                    $"{path} cannot be written: {why}. Give it to the site's account ({Environment.UserName}), or mount it writable."
                );
            else
                continue;
            complete = false;
        }

        if (!complete)
            return;
        if (await FindProblemAsync(store, catalog, stop) is { } problem)
            await ErrorAsync(subject, problem);
        else if (!store.OwnAfterCommit && !DirectoryProbe.AreOnOneFileSystem(store.StagingPath, store.StorePath))
            await WarnAsync(
                subject,
                $"{store.StagingPath} and {store.StorePath} are on different file systems: every file is copied and verified once "
                    + "more. Put them on one, and an ingest is a rename."
            );
        else
            await OkAsync(
                subject,
                store.FullFraction == 0 ? $"{store.StorePath}; takes nothing new, because its FullFraction is 0" : store.StorePath
            );
    }

    private async Task<string?> FindProblemAsync(StoreOptions store, CatalogDatabase? catalog, CancellationToken stop)
    {
        if (catalog is null)
            return await SiteStores.FindProblemAsync(null, store, _options.Name, stop);
        await using var db = catalog.Open();
        return await SiteStores.FindProblemAsync(db, store, _options.Name, stop);
    }

    private async Task CheckPeersAsync(CatalogDatabase catalog, CancellationToken stop)
    {
        List<Peer> rows;
        await using (var db = catalog.Open())
            rows = await db.Peers.AsNoTracking().OrderBy(l => l.Name).ToListAsync(stop);
        foreach (var configured in _options.Peers.Where(p => rows.TrueForAll(r => r.Name != p.Name)))
            await WarnAsync(
                $"peer {configured.Name}",
                "is in Site:Peers but not in the catalog: nothing is sent to it. Add it with 'librarian add-librarian'."
            );
        if (rows.Count == 0)
            return;
        if (SiteKeys.IsMissing(_options))
        {
            await ErrorAsync(
                "key",
                $"encryption.key is missing from '{_options.DataDirectory}', "
                    + "but the catalog holds credentials that were encrypted with it. Restore it from your backup."
            );
            return;
        }

        var directory = new PeerDirectory(catalog, SiteKeys.OpenFernet(_options, _time), _time);
        foreach (var row in rows)
            await CheckPeerAsync(row.Name, await directory.FindAsync(row.Name, stop), stop);
    }

    private async Task CheckPeerAsync(string name, PeerLogin? login, CancellationToken stop)
    {
        var subject = $"peer {name}";
        if (login is null)
        {
            await ErrorAsync(
                subject,
                "its credentials cannot be decrypted with this key. Restore the key, or add the peer again with 'librarian add-librarian'."
            );
            return;
        }

        if (!SiteConnection.TryCreate(login.Url, login.Port, login.User, login.Password, out var connection, out var wrong))
        {
            await ErrorAsync(subject, $"{wrong} Correct it with 'librarian add-librarian'.");
            return;
        }

        using var dates = new DateOfAnswer(LibrarianClient.CreateHandler());
        using var http = new HttpClient(dates) { Timeout = Timeout.InfiniteTimeSpan };
        using var client = new LibrarianClient(connection, http, AnswerTimeout);
        var ping = await client.PingAsync(stop);
        if (!ping.IsSuccess)
            await WarnAsync(
                subject,
                $"does not answer: {ping.Error} Files for it wait here. If the address is right, ask its administrator."
            );
        else if (ping.Value.LibrarianName is { } other && other != name)
            await ErrorAsync(
                subject,
                $"{connection.BaseAddress} is the site '{other}'. Correct the address with 'librarian add-librarian'."
            );
        else if (await client.PingLoggedAsync(stop) is { IsSuccess: false } refused)
            await ErrorAsync(
                subject,
                $"does not let us in as '{login.User}': {refused.Error} "
                    + "Make that account there, or correct it with 'librarian add-librarian'."
            );
        else
            await OkAsync(subject, $"{connection}{(login.TransfersEnabled ? "" : ", transfers to it are switched off")}");
        if (dates.Date is { } date)
            await CompareClockAsync($"'{name}'", date);
    }

    private async Task CompareClockAsync(string whose, DateTimeOffset theirs)
    {
        var ahead = _time.GetUtcNow() - theirs;
        if (ahead.Duration() > Skew)
            await WarnAsync(
                "clock",
                string.Create(
                    CultureInfo.InvariantCulture,
                    $"this machine is {(ahead > TimeSpan.Zero ? "ahead of" : "behind")} {whose} by "
                        + $"{ahead.Duration():c}. Have both set their clocks by the network (chrony, systemd-timesyncd)."
                )
            );
        else
            await OkAsync("clock", $"as that of {whose}");
    }

    private Task OkAsync(string subject, string message) => SayAsync("ok", subject, message);

    private Task WarnAsync(string subject, string message) => SayAsync("warning", subject, message);

    private Task ErrorAsync(string subject, string message)
    {
        _failed = true;
        return SayAsync("error", subject, message);
    }

    private Task SayAsync(string level, string subject, string message) =>
        _output.WriteLineAsync($"{level, -8} {subject + ":", -10} {message.ReplaceLineEndings(" ")}");

    /// <summary>Records the Date header of the last answer that has one.</summary>
    private sealed class DateOfAnswer(HttpMessageHandler inner) : DelegatingHandler(inner)
    {
        public DateTimeOffset? Date { get; private set; }

        protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
        {
            var response = await base.SendAsync(request, cancellationToken);
            Date = response.Headers.Date ?? Date;
            return response;
        }
    }
}
