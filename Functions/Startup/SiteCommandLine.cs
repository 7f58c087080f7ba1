using System.CommandLine;
using Librarian.Adopt;
using Librarian.Domain.Catalog;
using Librarian.Domain.Configuration;
using Librarian.Functions.Configuration;
using Microsoft.Extensions.Options;

namespace Librarian.Functions.Startup;

/// <summary>The verbs of <c>librarian-site</c>. A command line that is not understood starts and makes nothing.</summary>
public static class SiteCommandLine
{
    /// <summary>Done.</summary>
    public const int Success = 0;

    /// <summary>Not done; the reason is on the error stream.</summary>
    public const int Failure = 1;

    /// <summary>The command line is wrong; nothing was read.</summary>
    public const int Usage = 2;

    // Settings of the framework whose names have neither a section nor a separator.
    private static readonly string[] HostSettings =
    [
        "urls",
        "environment",
        "contentRoot",
        "applicationName",
        "webroot",
        "http_ports",
        "https_ports",
        "shutdownTimeoutSeconds",
        "hostingStartupAssemblies",
        "preventHostingStartup",
        "detailedErrors",
        "captureStartupErrors",
    ];

    /// <summary>Runs one verb.</summary>
    /// <param name="args">Arguments without the program's name.</param>
    /// <param name="run">Runs a site with these settings from the command line.</param>
    /// <param name="build">Builds a site without starting anything.</param>
    /// <param name="output">Receives the result.</param>
    /// <param name="errors">Receives errors.</param>
    public static async Task<int> RunAsync(
        string[] args,
        Func<string[], Task<int>> run,
        Func<string[], WebApplication> build,
        TextWriter output,
        TextWriter errors
    )
    {
        ArgumentNullException.ThrowIfNull(args);
        ArgumentNullException.ThrowIfNull(run);
        ArgumentNullException.ThrowIfNull(build);
        ArgumentNullException.ThrowIfNull(output);
        ArgumentNullException.ThrowIfNull(errors);
        // This verb reads its own arguments, help included.
        if (args is [AdoptCommand.Verb, ..])
            return await AdoptCommand.RunAsync(
                args,
                static () => Settings([]).GetSection(SiteOptions.Section).Get<SiteOptions>() ?? new SiteOptions(),
                output,
                errors,
                TimeProvider.System
            );

        var parsed = Build(run, build, output, errors).Parse(args);
        var unknown = parsed.CommandResult.Command.TreatUnmatchedTokensAsErrors ? null : UnknownArgument([.. parsed.UnmatchedTokens]);
        if (parsed.Errors.Count == 0 && unknown is null)
            return await parsed.InvokeAsync(
                new InvocationConfiguration
                {
                    Output = output,
                    Error = errors,
                    EnableDefaultExceptionHandler = false,
                    ProcessTerminationTimeout = null,
                }
            );
        foreach (var error in parsed.Errors)
            await errors.WriteLineAsync("error: " + error.Message);
        if (unknown is not null)
            await errors.WriteLineAsync("error: " + unknown);
        await errors.WriteLineAsync("Nothing was started. Add --help to see what the command takes.");
        return Usage;
    }

    /// <summary>Returns the first argument that is not a setting, as a sentence; null if all are settings.</summary>
    /// <param name="args">Such as <c>--Site:Name=mountain</c> or <c>--urls http://127.0.0.1:80</c>.</param>
    internal static string? UnknownArgument(IReadOnlyList<string> args)
    {
        for (var i = 0; i < args.Count; i++)
        {
            var equals = args[i].IndexOf('=', StringComparison.Ordinal);
            var name = args[i].StartsWith("--", StringComparison.Ordinal) ? args[i][2..(equals < 0 ? ^0 : equals)] : "";
            // An argument with an equals sign is a setting, whatever its name, as in the environment.
            if (equals > 2 && name.Length > 0)
                continue;
            var isSetting = name.AsSpan().IndexOfAny(':', '.', '_') > 0 || HostSettings.Contains(name, StringComparer.OrdinalIgnoreCase);
            if (!isSetting)
                return $"'{args[i]}' is not known.";
            if (++i == args.Count || args[i].StartsWith("--", StringComparison.Ordinal))
                return $"'--{name}' needs a value.";
        }

        return null;
    }

    private static RootCommand Build(
        Func<string[], Task<int>> run,
        Func<string[], WebApplication> build,
        TextWriter output,
        TextWriter errors
    )
    {
        var root = new RootCommand(
            "Runs a librarian site. Settings come from local.settings.json here, the file of LIBRARIAN_CONFIG, "
                + "the environment (Site__Name=…) and the command line (--Site:Name=…). "
                + "Exit codes: 0 done, 1 failed (reason on the error stream), 2 wrong usage."
        )
        {
            TreatUnmatchedTokensAsErrors = false,
        };
        root.SetAction((parsed, _) => run([.. parsed.UnmatchedTokens]));
        root.Add(Verb("run", "Runs the site; so does no verb at all.", (settings, _) => run(settings)));
        root.Add(
            Verb(
                "check",
                "Tries settings, directories, database, peers and clock, and says what is wrong and what to do. "
                    + "Changes nothing. Exit code 1 when something is an error.",
                (settings, stop) => SiteCheck.RunAsync(() => Settings(settings), output, TimeProvider.System, stop)
            )
        );
        root.Add(
            Verb(
                "migrate",
                "Brings the catalog up to date and ends. Not needed otherwise: the site does it when it starts.",
                (settings, stop) => MigrateAsync(settings, build, output, errors, stop)
            )
        );
        root.Add(new Command(AdoptCommand.Verb, AdoptCommand.Summary) { TreatUnmatchedTokensAsErrors = false });
        // For builds; Program handles this verb before anything else.
        root.Add(new Command(Documentation.ApiDocument.Verb) { Hidden = true });
        return root;
    }

    private static Command Verb(string name, string description, Func<string[], CancellationToken, Task<int>> action)
    {
        var command = new Command(name, description) { TreatUnmatchedTokensAsErrors = false };
        command.SetAction((parsed, stop) => action([.. parsed.UnmatchedTokens], stop));
        return command;
    }

    private static IConfiguration Settings(string[] settings) =>
        ((IConfigurationBuilder)new ConfigurationBuilder()).AddCommandLine(settings).AddSiteSources(Environment.CurrentDirectory).Build();

    private static async Task<int> MigrateAsync(
        string[] settings,
        Func<string[], WebApplication> build,
        TextWriter output,
        TextWriter errors,
        CancellationToken cancellationToken
    )
    {
        try
        {
            await using var app = build(settings);
            var catalog = app.Services.GetRequiredService<CatalogDatabase>();
            var options = app.Services.GetRequiredService<IOptions<SiteOptions>>().Value;
            SiteDirectory.Prepare(options, app.Services.GetRequiredService<ILogger<SiteStart>>());
            using var hold = SiteLock.Take(catalog.Kind, options);
            await app.Services.GetRequiredService<DatabaseWait>().UntilReachableAsync(cancellationToken);
            await catalog.MigrateAsync(options.Name, cancellationToken);
            await output.WriteLineAsync("The catalog is up to date.");
            return Success;
        }
        catch (Exception e)
            when (e is InvalidOperationException or OptionsValidationException or IOException or UnauthorizedAccessException
                || CatalogDatabase.IsDatabaseFailure(e)
            )
        {
            await errors.WriteLineAsync(e.Message);
            return Failure;
        }
    }
}
