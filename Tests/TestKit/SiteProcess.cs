using System.Diagnostics;
using System.Globalization;
using System.Net.Http.Headers;
using System.Text;

namespace Librarian.Tests.TestKit;

/// <summary>A real site in its own process, which tests can kill and start again.</summary>
public sealed class SiteProcess : IAsyncDisposable
{
    private const string Program = "site/librarian-site.dll";

    private readonly Dictionary<string, string> _settings = [];
    private readonly StringBuilder _output = new();
    private readonly HttpClient _http = new();
    private Process? _process;

    /// <param name="name">The site's name.</param>
    /// <param name="directory">Parent of the site's data, staging and store directories.</param>
    /// <param name="database">PostgreSQL connection string, or null for SQLite.</param>
    public SiteProcess(string name, string directory, string? database = null)
    {
        Name = name;
        Root = Path.Combine(directory, name);
        Port = PostgresServer.FreePort();
        Set("Site__Name", name);
        Set("Site__PublicBaseUrl", Url);
        Set("Site__DataDirectory", Path.Combine(Root, "data"));
        Set("Site__AdminUser", AdminUser);
        Set("Site__AdminPassword", AdminPassword);
        Set("Site__Stores__0__Name", "main");
        Set("Site__Stores__0__StagingPath", StagingPath);
        Set("Site__Stores__0__StorePath", StorePath);
        Set("Schedules__FindUnsyncedFiles", "* * * * * *");
        Set("Schedules__ReceiveStaged", "*/2 * * * * *");
        Set("Schedules__ReviewStaleTransfers", "*/5 * * * * *");
        Set("Schedules__GreetPeers", "*/2 * * * * *");
        Set("ASPNETCORE_URLS", Url);
        Set("LIBRARIAN_PARENT_PID", Environment.ProcessId.ToString(CultureInfo.InvariantCulture));
        if (database is not null)
        {
            Set("Site__Database", database);
            // Test servers run without settings that matter only in a power cut.
            Set("Site__AllowUnsafeDatabase", "true");
        }

        Directory.CreateDirectory(Root);
    }

    /// <summary>Administrator of every test site.</summary>
    public const string AdminUser = "admin";

    public const string AdminPassword = "correct-horse";

    public string Name { get; }

    public string Root { get; }

    public int Port { get; }

    public string Url => $"http://127.0.0.1:{Port}";

    public string StagingPath => Path.Combine(Root, "staging");

    public string StorePath => Path.Combine(Root, "store");

    /// <summary>Everything that all processes of this site have printed.</summary>
    public string Output
    {
        get
        {
            lock (_output)
                return _output.ToString();
        }
    }

    public bool IsRunning => _process is { HasExited: false };

    /// <summary>CPU time of the running process.</summary>
    public TimeSpan ProcessorTime
    {
        get
        {
            var process = _process ?? throw new InvalidOperationException($"Site {Name} was not started.");
            process.Refresh();
            return process.TotalProcessorTime;
        }
    }

    /// <summary>Bytes of memory in use now (VmRSS), and the peak since <see cref="ResetPeakMemory"/> (VmHWM).</summary>
    public (long Now, long Peak) Memory
    {
        get
        {
            var lines = File.ReadAllLines($"/proc/{_process!.Id}/status");
            return (Of("VmRSS:"), Of("VmHWM:"));

            long Of(string name) =>
                long.Parse(
                    lines
                        .Single(l => l.StartsWith(name, StringComparison.Ordinal))[name.Length..]
                        .Replace("kB", "", StringComparison.Ordinal),
                    CultureInfo.InvariantCulture
                ) * 1024;
        }
    }

    /// <summary>Starts a new measurement of the peak (proc(5), clear_refs).</summary>
    public void ResetPeakMemory() => File.WriteAllText($"/proc/{_process!.Id}/clear_refs", "5");

    public void Set(string variable, string value) => _settings[variable] = value;

    /// <summary>The process's umask, in octal; null: the umask of the tests.</summary>
    public string? Umask { get; set; }

    public IReadOnlyList<string> Arguments { get; set; } = [];

    /// <summary>Waits until the process ends by itself, and returns its exit code.</summary>
    public async Task<int> ExitAsync(CancellationToken cancellationToken)
    {
        var process = _process ?? throw new InvalidOperationException($"Site {Name} was not started.");
        await process.WaitForExitAsync(cancellationToken);
        return process.ExitCode;
    }

    /// <summary>Starts the process but does not wait until it answers.</summary>
    public void Start()
    {
        QuickTier.Refuse("a site in a process of its own");
        var start = new ProcessStartInfo(Umask is null ? "dotnet" : "/bin/sh")
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
            UseShellExecute = false,
            WorkingDirectory = Root,
        };
        if (Umask is not null)
        {
            foreach (var argument in new[] { "-c", $"umask {Umask}; exec dotnet \"$@\"", "site" })
                start.ArgumentList.Add(argument);
        }

        start.ArgumentList.Add(SiteProgram());
        foreach (var argument in Arguments)
            start.ArgumentList.Add(argument);
        foreach (var (key, value) in _settings)
            start.Environment[key] = value;
        start.Environment.Remove("FUNCTIONS_CUSTOMHANDLER_PORT");
        if (Precompiled(Program) is not null)
            LiveShortly(start);
        var process = Process.Start(start) ?? throw new InvalidOperationException("dotnet did not start");
        process.OutputDataReceived += (_, line) => Append(line.Data);
        process.ErrorDataReceived += (_, line) => Append(line.Data);
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        _process = process;
    }

    /// <summary>Waits until the site answers pings.</summary>
    public async Task WaitUntilReadyAsync(CancellationToken cancellationToken)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancellationToken);
        limit.CancelAfter(TimeSpan.FromMinutes(5));
        while (true)
        {
            if (_process is not { HasExited: false })
                throw new InvalidOperationException($"Site {Name} has exited with {_process?.ExitCode}:\n{Output}");
            try
            {
                using var request = new HttpRequestMessage(HttpMethod.Post, Url + "/api/v2/ping/")
                {
                    Content = new StringContent("{}", Encoding.UTF8, "application/json"),
                };
                request.Headers.Authorization = new AuthenticationHeaderValue("Basic", Convert.ToBase64String("any:thing"u8));
                using var response = await _http.SendAsync(request, limit.Token);
                if (response.IsSuccessStatusCode)
                    return;
            }
            catch (HttpRequestException) { }
            catch (OperationCanceledException e) when (!cancellationToken.IsCancellationRequested)
            {
                throw new TimeoutException($"Site {Name} did not answer:\n{Output}", e);
            }

            await Task.Delay(50, cancellationToken);
        }
    }

    /// <summary>Waits until the process has printed something: what it prints arrives later than what it answers.</summary>
    public Task WaitForOutputAsync(string text) =>
        Wait.UntilAsync(() => Task.FromResult(Output.Contains(text, StringComparison.Ordinal)), () => $"'{text}' in:\n{Output}");

    /// <summary>Starts the process and waits until it answers pings.</summary>
    public async Task StartAsync(CancellationToken cancellationToken)
    {
        Start();
        await WaitUntilReadyAsync(cancellationToken);
    }

    /// <summary>Kills the process with SIGKILL.</summary>
    public async Task KillAsync()
    {
        if (_process is not { HasExited: false } process)
            return;
        process.Kill(entireProcessTree: false);
        await process.WaitForExitAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _process?.Dispose();
        _http.Dispose();
    }

    /// <summary>The built site of the same configuration as the tests, or the precompiled one of <see cref="Precompiled"/>.</summary>
    public static string SiteProgram()
    {
        if (Precompiled(Program) is { } precompiled)
            return precompiled;
        var output = new DirectoryInfo(AppContext.BaseDirectory);
        var configuration = output.Parent!.Name;
        var root = output;
        while (root is not null && !File.Exists(Path.Combine(root.FullName, "Librarian.Functions.sln")))
            root = root.Parent;
        var program = Path.Combine(
            root?.FullName ?? throw new InvalidOperationException("The repository root was not found above the tests."),
            "Functions",
            "bin",
            configuration,
            "net10.0",
            "librarian-site.dll"
        );
        return File.Exists(program) ? program : throw new FileNotFoundException("Build the solution first.", program);
    }

    /// <summary>
    /// The same program, compiled to native code, in the folder that <c>./test</c> names in LIBRARIAN_TEST_PROGRAMS; null without one.
    /// Otherwise tests that kill hundreds of processes spend a third of their time on compilation.
    /// </summary>
    public static string? Precompiled(string program) =>
        Environment.GetEnvironmentVariable("LIBRARIAN_TEST_PROGRAMS") is { Length: > 0 } folder
        && File.Exists(Path.Combine(folder, program))
            ? Path.Combine(folder, program)
            : null;

    /// <summary>
    /// Configures a process that a test kills soon. By default the runtime compiles precompiled methods again after thirty calls, which
    /// takes longer than such a process can gain from it.
    /// </summary>
    public static void LiveShortly(ProcessStartInfo start)
    {
        ArgumentNullException.ThrowIfNull(start);
        start.Environment["DOTNET_TC_CallCounting"] = "0";
    }

    private void Append(string? line)
    {
        if (line is null)
            return;
        lock (_output)
            _output.AppendLine(line);
    }
}
