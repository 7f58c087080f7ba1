using System.Diagnostics;
using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Librarian.Client;

namespace Librarian.Samples.Demo;

/// <summary>One site of the demo: its directories, its address and its process.</summary>
internal sealed partial class SiteProcess : IAsyncDisposable
{
    internal const string Administrator = "admin";

    private const string EverySecond = "*/1 * * * * *";
    private const int Terminate = 15;

    private static readonly TimeSpan s_startTimeout = TimeSpan.FromMinutes(5);
    private static readonly TimeSpan s_stopTimeout = TimeSpan.FromSeconds(10);

    private readonly StreamWriter _log;
    private readonly Process _process;
    private readonly Task _logging;

    private SiteProcess(string name, string folder, int port, string password, Process process, StreamWriter log)
    {
        (Name, Folder, Port, Password, _process, _log) = (name, folder, port, password, process, log);
        _logging = Task.WhenAll(LogAsync(process.StandardOutput), LogAsync(process.StandardError));
    }

    internal string Name { get; }

    internal string Folder { get; }

    internal int Port { get; }

    internal string Password { get; }

    internal string LogPath => LogPathOf(Folder);

    /// <summary>Starts a site. The caller waits for <see cref="WaitUntilReadyAsync"/>.</summary>
    /// <param name="name">Name of the site.</param>
    /// <param name="root">The demo's directory.</param>
    /// <param name="peer">The peer that the site sends to and whose staging directory it may write to, or null.</param>
    /// <param name="isLocal">Whether uploads and clones are copied on this host's file system, instead of sent over HTTP.</param>
    /// <returns>The running process.</returns>
    internal static SiteProcess Start(string name, string root, string? peer, bool isLocal)
    {
        var folder = Path.Join(root, name);
        foreach (var part in new[] { "data", "staging", "store" })
            Directory.CreateDirectory(Path.Join(folder, part));
        var port = FreePort();
        var password = NewPassword();
        var url = string.Create(CultureInfo.InvariantCulture, $"http://127.0.0.1:{port}");
        var program = BuiltProgram.Site;
        if (!File.Exists(program))
            throw new FileNotFoundException($"The site program {program} is missing. Nothing was started; build samples/Demo again.");

        var start = new ProcessStartInfo(DotnetPath(), [program])
        {
            UseShellExecute = false,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            // Not the program's own folder, because a site writes its data elsewhere (docs/configuration.md).
            WorkingDirectory = folder,
        };
        var settings = start.Environment;
        settings["ASPNETCORE_URLS"] = url;
        settings["DOTNET_ENVIRONMENT"] = "Production";
        settings["LIBRARIAN_PARENT_PID"] = Environment.ProcessId.ToString(CultureInfo.InvariantCulture);
        settings["Site__Name"] = name;
        settings["Site__PublicBaseUrl"] = url;
        settings["Site__DataDirectory"] = Path.Join(folder, "data");
        settings["Site__AdminUser"] = Administrator;
        settings["Site__AdminPassword"] = password;
        // No host has this name, so nobody shares the site's file system.
        settings["Site__LocalHostnames__0"] = isLocal ? Dns.GetHostName() : name + ".invalid";
        settings["Site__Stores__0__Name"] = "disk";
        settings["Site__Stores__0__StagingPath"] = Path.Join(folder, "staging");
        settings["Site__Stores__0__StorePath"] = Path.Join(folder, "store");
        settings["Site__Stores__0__Ingestable"] = "true";
        settings["Schedules__FindUnsyncedFiles"] = EverySecond;
        settings["Schedules__ReceiveStaged"] = EverySecond;
        if (peer is not null)
        {
            settings["Site__Peers__0__Name"] = peer;
            settings["Site__Peers__0__Send"] = "true";
            settings["Site__Peers__0__LocalRoots__0"] = Path.Join(root, peer, "staging");
        }

        var log = new StreamWriter(LogPathOf(folder)) { AutoFlush = true };
        try
        {
            return new SiteProcess(name, folder, port, password, Process.Start(start)!, log);
        }
        catch
        {
            log.Dispose();
            throw;
        }
    }

    /// <summary>A password that needs no quoting.</summary>
    internal static string NewPassword() => RandomNumberGenerator.GetHexString(16, lowercase: true);

    internal LibrarianClient Connect(string user, string password)
    {
        if (!SiteConnection.TryCreate("http://127.0.0.1", Port, user, password, out var connection, out var error))
            throw new InvalidOperationException(error);
        return new LibrarianClient(connection);
    }

    /// <summary>Waits until the site answers a ping.</summary>
    /// <param name="cancellationToken">Cancels the call.</param>
    /// <exception cref="IOException">The site ended or did not answer in time; the message names its log.</exception>
    internal async Task WaitUntilReadyAsync(CancellationToken cancellationToken)
    {
        using var client = Connect(Administrator, Password);
        var waited = Stopwatch.StartNew();
        for (; ; )
        {
            var reply = await client.PingAsync(cancellationToken);
            if (reply.IsSuccess)
                return;
            if (_process.HasExited)
            {
                await _logging;
                throw new IOException(
                    $"Site {Name} ended with exit code {_process.ExitCode} before it was ready. "
                        + $"The last lines of {LogPath}:{Environment.NewLine}{await TailAsync()}"
                );
            }

            if (waited.Elapsed > s_startTimeout)
                throw new IOException(
                    $"Site {Name} did not answer within {s_startTimeout.TotalSeconds:0} seconds ({reply.Error}). Read {LogPath}."
                );
            await Task.Delay(TimeSpan.FromMilliseconds(100), cancellationToken);
        }
    }

    /// <summary>Asks the process to end, and kills it after a timeout.</summary>
    /// <returns>Completes when the process has ended.</returns>
    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
        {
            _ = Signal(_process.Id, Terminate);
            using var timeout = new CancellationTokenSource(s_stopTimeout);
            try
            {
                await _process.WaitForExitAsync(timeout.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill(entireProcessTree: true);
            }
        }

        await _logging;
        _process.Dispose();
        await _log.DisposeAsync();
    }

    /// <summary>Kills the process, for a process exit that leaves no time to wait.</summary>
    internal void Kill()
    {
        try
        {
            _process.Kill(entireProcessTree: true);
        }
        catch (InvalidOperationException)
        {
            // The process has already ended.
        }
    }

    private static string LogPathOf(string folder) => Path.Join(folder, "site.log");

    // Another program can take the port before the site does; the site then reports it.
    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    // The runtime that runs this program runs the site too, even if no dotnet is on the path.
    private static string DotnetPath()
    {
        var beside = Path.GetFullPath(Path.Join(RuntimeEnvironment.GetRuntimeDirectory(), "..", "..", "..", "dotnet"));
        return File.Exists(beside) ? beside : "dotnet";
    }

    private async Task LogAsync(StreamReader output)
    {
        while (await output.ReadLineAsync() is { } line)
        {
            lock (_log)
                _log.WriteLine(line);
        }
    }

    private async Task<string> TailAsync()
    {
        await using var stream = new FileStream(LogPath, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        using var reader = new StreamReader(stream);
        return string.Join(Environment.NewLine, (await reader.ReadToEndAsync()).Split('\n').TakeLast(20));
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int Signal(int process, int signal);
}
