using System.Collections.Immutable;
using System.Reflection;
using Librarian.Durable.Analyzers;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.CSharp;
using Microsoft.CodeAnalysis.Diagnostics;

namespace Librarian.Tests.Durable.Analyzers;

/// <summary>Snippets compiled in memory against the real abstractions; every expectation is the exact list of ids.</summary>
public class OrchestratorAnalyzerTests
{
    private static readonly Lazy<ImmutableArray<MetadataReference>> References = new(() =>
        [
            .. ((string)AppContext.GetData("TRUSTED_PLATFORM_ASSEMBLIES")!)
                .Split(Path.PathSeparator)
                .Select(path => MetadataReference.CreateFromFile(path)),
        ]
    );

    private static readonly Lazy<ImmutableArray<DiagnosticAnalyzer>> Microsofts = new(() =>
        new AnalyzerFileReference(Path.Combine(AppContext.BaseDirectory, "Microsoft.DurableTask.Analyzers.dll"), new Loader()).GetAnalyzers(
            LanguageNames.CSharp
        )
    );

    [Theory]
    [InlineData("var x = Stopwatch.GetTimestamp();", "LDUR0001", "Stopwatch.GetTimestamp")]
    [InlineData("var x = Environment.TickCount64;", "LDUR0001", "Environment.TickCount64")]
    [InlineData("var x = Guid.CreateVersion7();", "LDUR0002", "Guid.CreateVersion7")]
    [InlineData("var x = new Random().Next();", "LDUR0002,LDUR0002", "new Random")]
    [InlineData("var x = Random.Shared.Next();", "LDUR0002,LDUR0002", "Random.Next")]
    [InlineData("using var x = new PeriodicTimer(TimeSpan.FromSeconds(1));", "LDUR0003", "new PeriodicTimer")]
    [InlineData("using var x = new CancellationTokenSource(TimeSpan.FromSeconds(1));", "LDUR0003", "new CancellationTokenSource")]
    [InlineData("using var x = new CancellationTokenSource(); x.CancelAfter(5);", "LDUR0003", "CancellationTokenSource.CancelAfter")]
    [InlineData("await c.CallActivityAsync<int>(\"a\").WaitAsync(TimeSpan.FromSeconds(1));", "LDUR0003", "Task.WaitAsync")]
    [InlineData("Parallel.For(0, 3, _ => { });", "LDUR0004", "Parallel.For")]
    [InlineData("await c.CallActivityAsync<int>(\"a\").ConfigureAwait(false);", "LDUR0004", "Task.ConfigureAwait")]
    [InlineData("await c.CallActivityAsync<int>(\"a\").ConfigureAwait(ConfigureAwaitOptions.None);", "LDUR0004", "Task.ConfigureAwait")]
    [InlineData("using var x = new CancellationTokenSource(); await x.CancelAsync();", "LDUR0004", "CancellationTokenSource.CancelAsync")]
    [InlineData("await foreach (var x in Task.WhenEach(c.CallActivityAsync<int>(\"a\"))) { }", "LDUR0004", "Task.WhenEach")]
    [InlineData("var x = Environment.MachineName;", "LDUR0005", "Environment.MachineName")]
    [InlineData("var x = File.Exists(\"a\");", "LDUR0005", "File.Exists")]
    [InlineData("Directory.CreateDirectory(\"a\");", "LDUR0005", "Directory.CreateDirectory")]
    [InlineData("using var x = new System.Net.Sockets.TcpClient();", "LDUR0005", "new TcpClient")]
    [InlineData("Console.WriteLine(1);", "LDUR0005", "Console.WriteLine")]
    [InlineData("Database.Open();", "LDUR0005", "DbConnection.Open")]
    [InlineData("c.CallActivityAsync<int>(\"a\").Wait();", "LDUR0006", "Task.Wait")]
    [InlineData("var x = c.CallActivityAsync<int>(\"a\").GetAwaiter().GetResult();", "LDUR0006", "TaskAwaiter.GetResult")]
    [InlineData("var x = Counter;", "LDUR0007", "Orchestrator.Counter")]
    [InlineData("Counter++;", "LDUR0007", "Orchestrator.Counter")]
    // Reached through the same type.
    [InlineData("var x = Property;", "LDUR0002", "Guid.CreateVersion7")]
    [InlineData("await Near(3);", "LDUR0003", "CancellationTokenSource.CancelAfter")]
    [InlineData("Func<Guid> x = Guid.CreateVersion7;", "LDUR0002", "Guid.CreateVersion7")]
    public async Task RunAsync_RuleBroken_IsReportedWithTheCallAndTheReplacement(string statement, string ids, string what)
    {
        var found = await AnalyzeAsync(Orchestrator(statement));
        Assert.Equal(ids, string.Join(',', found.Select(diagnostic => diagnostic.Id)));
        Assert.Contains(found, diagnostic => diagnostic.GetMessage().Contains($"'{what}'", StringComparison.Ordinal));
        Assert.All(found, diagnostic => Assert.Matches("context\\.|activity|Cancel\\(\\)|await", diagnostic.GetMessage()));
    }

    /// <summary>Reported by Microsoft's analyzer, so not by ours: nobody reads the same twice.</summary>
    [Theory]
    [InlineData("var x = DateTime.UtcNow;", "DURABLE0001")]
    [InlineData("var x = DateTime.Now;", "DURABLE0001")]
    [InlineData("var x = DateTime.Today;", "DURABLE0001")]
    [InlineData("var x = DateTimeOffset.UtcNow;", "DURABLE0001")]
    [InlineData("var x = Guid.NewGuid();", "DURABLE0002")]
    [InlineData("await Task.Delay(1);", "DURABLE0003")]
    [InlineData("Thread.Sleep(1);", "DURABLE0003")]
    [InlineData("await Task.Run(() => 1);", "DURABLE0004")]
    [InlineData("await Task.Factory.StartNew(() => 1);", "DURABLE0004")]
    [InlineData("new Thread(() => { }).Start();", "DURABLE0004")]
    [InlineData("using var x = new System.Net.Http.HttpClient();", "DURABLE0005")]
    [InlineData("var x = Helper();", "DURABLE0001")]
    [InlineData("await Far(3);", "DURABLE0003")]
    [InlineData("var x = new[] { 1 }.Select(_ => Guid.NewGuid()).ToList();", "DURABLE0002")]
    [InlineData("Local(); void Local() { var y = DateTime.UtcNow; }", "DURABLE0001")]
    [InlineData("var x = TimeProvider.System.GetUtcNow();", "DURABLE0001")]
    public async Task RunAsync_RuleOfMicrosofts_IsReportedOnceByTheirs(string statement, string id) =>
        Assert.Equal(id, Assert.Single(await AnalyzeAsync(Orchestrator(statement))).Id);

    [Theory]
    [InlineData("var x = c.CurrentUtcDateTime; var y = c.NewGuid(); await c.CreateTimer(TimeSpan.FromSeconds(1), default);")]
    [InlineData("var x = new DateTime(2026, 1, 1).AddDays(1) - c.CurrentUtcDateTime;")]
    [InlineData(
        "using var x = new CancellationTokenSource(); x.Cancel(); await Task.WhenAny(c.WaitForExternalEvent<int>(\"e\", x.Token));"
    )]
    [InlineData("var x = await Task.WhenAll(Enumerable.Range(0, 9).Select(n => c.CallActivityAsync<int>(\"a\", n)));")]
    [InlineData("await c.CallActivityAsync<int>(\"a\").ConfigureAwait(true);")]
    [InlineData("var x = System.IO.Path.Combine(\"a\", \"b\") + Environment.NewLine + Fixed + Constant;")]
    [InlineData("await c.CallActivityAsync<int>(\"a\").WaitAsync(new CancellationToken());")]
    [InlineData("var x = c.CallActivityAsync<int>(\"a\"); await x; var y = x.Result;")]
    [InlineData("#pragma warning disable LDUR0002 // The reason.\nvar x = Guid.CreateVersion7();\n#pragma warning restore LDUR0002\n")]
    public async Task RunAsync_Deterministic_IsNotReported(string statement) => Assert.Empty(await AnalyzeAsync(Orchestrator(statement)));

    [Fact]
    public async Task Helpers_NotReachedFromOrchestratorCode_AreNotReported() => Assert.Empty(await AnalyzeAsync(Orchestrator("")));

    [Fact]
    public async Task AddOrchestratorFunc_LambdaAndMethodGroup_AreOrchestratorCodeAndActivitiesAreNot()
    {
        var found = await AnalyzeAsync(
            """
            class Setup
            {
                void Configure(DurableTaskRegistry builder)
                {
                    var started = DateTime.UtcNow;
                    builder.AddOrchestratorFunc<int, int>("lambda", async (c, n) =>
                    {
                        await Task.Delay(1);
                        return Called(n);
                        int Called(int m) => Random.Shared.Next(m);
                    });
                    builder.AddOrchestratorFunc<int, int>("group", Group);
                    builder.AddActivityFunc<int, int>("a", async (_, n) => { await Task.Delay(1); return n; });
                }

                static async Task<int> Group(TaskOrchestrationContext c, int n) { await Task.Run(() => 1); return n; }
            }
            """
        );
        Assert.Equal(
            ["DURABLE0003", "DURABLE0004", "LDUR0002", "LDUR0002"],
            found.Select(diagnostic => diagnostic.Id).Order(StringComparer.Ordinal)
        );
    }

    [Fact]
    public async Task RetryHandlerAndForeignHelper_TakeTheContext_AreOrchestratorCode()
    {
        var found = await AnalyzeAsync(
            """
            static class Extensions
            {
                public static Guid Fresh(this TaskOrchestrationContext c) => Guid.CreateVersion7();

                public static TaskOptions Options() => TaskOptions.FromRetryHandler(r => Environment.TickCount > r.LastAttemptNumber);
            }
            """
        );
        Assert.Equal(["LDUR0001", "LDUR0002"], found.Select(diagnostic => diagnostic.Id).Order(StringComparer.Ordinal));
    }

    private static string Orchestrator(string statement) =>
        $$"""
            class Orchestrator : TaskOrchestrator<int, int>
            {
                const int Constant = 1;
                static readonly string Fixed = "x";
                static int Counter = 0;
                static System.Data.Common.DbConnection Database => null!;
                static Guid Property => Guid.CreateVersion7();
                static Task Near(int n) => n == 0 ? Nearer() : Near(n - 1);
                static Task Nearer() { using var x = new CancellationTokenSource(); x.CancelAfter(5); return Task.CompletedTask; }
                static DateTime Helper() => DateTime.UtcNow;
                static Task Far(int n) => n == 0 ? Farther() : Far(n - 1);
                static Task Farther() => Task.Delay(1);
                static void NotCalled() { Thread.Sleep(1); Task.Run(() => DateTime.Now); }

                public override async Task<int> RunAsync(TaskOrchestrationContext c, int input)
                {
                    {{statement}}
                    await c.CallActivityAsync("last");
                    return input;
                }
            }
            """;

    private static async Task<ImmutableArray<Diagnostic>> AnalyzeAsync(string code)
    {
        var source =
            "using System; using System.Diagnostics; using System.IO; using System.Linq; "
            + "using System.Threading; using System.Threading.Tasks; using Microsoft.DurableTask;\n"
            + code;
        var compilation = CSharpCompilation.Create(
            "Snippet",
            [CSharpSyntaxTree.ParseText(source, cancellationToken: TestContext.Current.CancellationToken)],
            References.Value,
            new CSharpCompilationOptions(OutputKind.DynamicallyLinkedLibrary, nullableContextOptions: NullableContextOptions.Enable)
        );
        Assert.Empty(
            compilation
                .GetDiagnostics(TestContext.Current.CancellationToken)
                .Where(diagnostic => diagnostic.Severity == DiagnosticSeverity.Error)
        );
        var found = await compilation
            .WithAnalyzers([new OrchestratorAnalyzer(), .. Microsofts.Value])
            .GetAnalyzerDiagnosticsAsync(TestContext.Current.CancellationToken);
        return found.RemoveAll(diagnostic => !IsAboutDeterminism(diagnostic.Id));
    }

    /// <summary>The rest of Microsoft's is about names and types of calls, which these snippets leave open.</summary>
    private static bool IsAboutDeterminism(string id) =>
        id.StartsWith("LDUR", StringComparison.Ordinal) || id.StartsWith("DURABLE0", StringComparison.Ordinal);

    private sealed class Loader : IAnalyzerAssemblyLoader
    {
        public void AddDependencyLocation(string fullPath) { }

        public Assembly LoadFromPath(string fullPath) => Assembly.LoadFrom(fullPath);
    }
}
