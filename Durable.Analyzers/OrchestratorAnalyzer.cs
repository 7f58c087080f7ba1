using System;
using System.Collections.Concurrent;
using System.Collections.Generic;
using System.Collections.Immutable;
using System.Linq;
using Microsoft.CodeAnalysis;
using Microsoft.CodeAnalysis.Diagnostics;
using Microsoft.CodeAnalysis.Operations;

namespace Librarian.Durable.Analyzers;

/// <summary>
/// Reports non-deterministic operations in orchestrator code: in methods, local functions and lambdas that take the orchestration's
/// context, and in the functions of the same type that they call. Microsoft.DurableTask.Analyzers covers most clocks, Guid.NewGuid,
/// Task.Delay, Task.Run, threads and HttpClient; this analyzer adds the rules that it lacks.
/// </summary>
[DiagnosticAnalyzer(LanguageNames.CSharp)]
public sealed class OrchestratorAnalyzer : DiagnosticAnalyzer
{
    private static readonly ImmutableHashSet<string> ContextTypes =
    [
        "Microsoft.DurableTask.TaskOrchestrationContext",
        "Microsoft.DurableTask.RetryContext",
    ];

    private static readonly ImmutableHashSet<string> OutsideTypes =
    [
        "System.Environment",
        "System.Console",
        "System.IO.File",
        "System.IO.Directory",
        "System.IO.FileInfo",
        "System.IO.DirectoryInfo",
        "System.IO.DriveInfo",
        "System.IO.FileStream",
        "System.IO.RandomAccess",
        "System.IO.FileSystemWatcher",
        "System.Diagnostics.Process",
        "System.Net.Dns",
        "System.Net.Sockets.Socket",
        "System.Net.Sockets.TcpClient",
        "System.Net.Sockets.TcpListener",
        "System.Net.Sockets.UdpClient",
        "System.Data.Common.DbConnection",
        "System.Data.Common.DbCommand",
        "System.Data.Common.DbTransaction",
        "System.Data.Common.DbDataSource",
        "Microsoft.EntityFrameworkCore.DbContext",
    ];

    /// <inheritdoc/>
    public override ImmutableArray<DiagnosticDescriptor> SupportedDiagnostics { get; } =
    [
        OrchestratorRules.Clock,
        OrchestratorRules.Randomness,
        OrchestratorRules.WallClockWait,
        OrchestratorRules.OtherThread,
        OrchestratorRules.OutsideWorld,
        OrchestratorRules.Blocking,
        OrchestratorRules.SharedState,
    ];

    /// <inheritdoc/>
    public override void Initialize(AnalysisContext context)
    {
        if (context is null)
            throw new ArgumentNullException(nameof(context));
        context.EnableConcurrentExecution();
        context.ConfigureGeneratedCodeAnalysis(GeneratedCodeAnalysisFlags.None);
        context.RegisterCompilationStartAction(compilation =>
        {
            if (compilation.Compilation.GetTypeByMetadataName("Microsoft.DurableTask.TaskOrchestrationContext") is null)
                return;
            compilation.RegisterSymbolStartAction(StartType, SymbolKind.NamedType);
        });
    }

    private static void StartType(SymbolStartAnalysisContext context)
    {
        var functions = new ConcurrentDictionary<IMethodSymbol, Function>(SymbolEqualityComparer.Default);
        context.RegisterOperationBlockAction(block =>
        {
            if (block.OwningSymbol is not IMethodSymbol and not IFieldSymbol and not IPropertySymbol)
                return;
            var owner = block.OwningSymbol as IMethodSymbol;
            var scope = owner is null ? new Function(isRoot: false) : functions.GetOrAdd(owner, method => new(IsRoot(method)));
            foreach (var operation in block.OperationBlocks)
                Collect(operation, scope, functions);
        });
        context.RegisterSymbolEndAction(end => Report(functions, end));
    }

    /// <summary>Records the operations and calls of each function; a lambda or local function has its own record.</summary>
    private static void Collect(IOperation operation, Function scope, ConcurrentDictionary<IMethodSymbol, Function> functions)
    {
        var symbol = operation switch
        {
            IAnonymousFunctionOperation lambda => lambda.Symbol,
            ILocalFunctionOperation local => local.Symbol,
            _ => null,
        };
        if (symbol is not null)
        {
            var inner = functions.GetOrAdd(symbol, method => new(IsRoot(method)));
            // The code around a lambda runs it or passes it to something that does; a local function runs only when it is called.
            if (operation is IAnonymousFunctionOperation)
                scope.Calls.Enqueue(symbol);
            scope = inner;
        }

        if (Judge(operation) is { } found)
            scope.Findings.Enqueue(Diagnostic.Create(found.Rule, operation.Syntax.GetLocation(), found.What));
        if (Callee(operation) is { } callee)
            scope.Calls.Enqueue(callee.OriginalDefinition);
        foreach (var child in operation.ChildOperations)
            Collect(child, scope, functions);
    }

    private static void Report(ConcurrentDictionary<IMethodSymbol, Function> functions, SymbolAnalysisContext context)
    {
        var reached = new HashSet<IMethodSymbol>(SymbolEqualityComparer.Default);
        var pending = new Stack<IMethodSymbol>(functions.Where(entry => entry.Value.IsRoot).Select(entry => entry.Key));
        while (pending.Count > 0)
        {
            var method = pending.Pop();
            if (!reached.Add(method) || !functions.TryGetValue(method, out var function))
                continue;
            foreach (var finding in function.Findings)
                context.ReportDiagnostic(finding);
            foreach (var callee in function.Calls)
                pending.Push(callee);
        }
    }

    private static bool IsRoot(IMethodSymbol method) => method.Parameters.Any(parameter => ContextTypes.Contains(Name(parameter.Type)));

    private static IMethodSymbol? Callee(IOperation operation) =>
        operation switch
        {
            IInvocationOperation call => call.TargetMethod,
            IMethodReferenceOperation reference => reference.Method,
            IPropertyReferenceOperation { Property.GetMethod: { } getter } => getter,
            _ => null,
        };

    private static (DiagnosticDescriptor Rule, string What)? Judge(IOperation operation) =>
        operation switch
        {
            IPropertyReferenceOperation property => JudgeMember(property.Property, property.Instance?.Type, []),
            IInvocationOperation call => JudgeMember(call.TargetMethod, call.Instance?.Type, call.Arguments),
            IMethodReferenceOperation reference => JudgeMember(reference.Method, reference.Instance?.Type, []),
            IObjectCreationOperation { Constructor: { } constructor } creation => JudgeMember(constructor, null, creation.Arguments),
            IFieldReferenceOperation { Field: { IsStatic: true, IsReadOnly: false, IsConst: false } field } => (
                OrchestratorRules.SharedState,
                Short(field)
            ),
            _ => null,
        };

    private static (DiagnosticDescriptor Rule, string What)? JudgeMember(
        ISymbol member,
        ITypeSymbol? instance,
        ImmutableArray<IArgumentOperation> arguments
    )
    {
        var rule = RuleOf(member, instance, arguments);
        return rule is null ? null : (rule, Short(member));
    }

    private static DiagnosticDescriptor? RuleOf(ISymbol member, ITypeSymbol? instance, ImmutableArray<IArgumentOperation> arguments)
    {
        switch (Name(member.ContainingType), member.Name)
        {
            case ("System.Diagnostics.Stopwatch", _):
            case ("System.Environment", "TickCount" or "TickCount64"):
                return OrchestratorRules.Clock;
            case ("System.Guid", "CreateVersion7"):
            case ("System.Random", _):
            case ("System.Security.Cryptography.RandomNumberGenerator", _):
                return OrchestratorRules.Randomness;
            case ("System.Threading.Thread", "SpinWait"):
            case ("System.Threading.Timer" or "System.Threading.PeriodicTimer" or "System.Timers.Timer", _):
            case ("System.Threading.CancellationTokenSource", "CancelAfter"):
            case ("System.Threading.CancellationTokenSource", ".ctor") when arguments.Length > 0:
            case ("System.Threading.Tasks.Task" or "System.Threading.Tasks.Task<TResult>", "WaitAsync") when TakesTimeSpan(member):
                return OrchestratorRules.WallClockWait;
            case ("System.Threading.Tasks.Task", "WhenEach"):
            case ("System.Threading.ThreadPool" or "System.Threading.Tasks.Parallel", _):
            case ("System.Linq.ParallelEnumerable", "AsParallel"):
            case ("System.Threading.CancellationTokenSource", "CancelAsync"):
            case (_, "ConfigureAwait") when LeavesContext(arguments):
                return OrchestratorRules.OtherThread;
            case ("System.Threading.Tasks.Task" or "System.Threading.Tasks.Task<TResult>", "Wait" or "WaitAll" or "WaitAny"):
            case (
                "System.Runtime.CompilerServices.TaskAwaiter"
                    or "System.Runtime.CompilerServices.TaskAwaiter<TResult>"
                    or "System.Runtime.CompilerServices.ValueTaskAwaiter"
                    or "System.Runtime.CompilerServices.ValueTaskAwaiter<TResult>",
                "GetResult"
            ):
                return OrchestratorRules.Blocking;
            case ("System.Environment", "NewLine"):
                return null;
            default:
                return IsOutside(member.ContainingType) || IsOutside(instance) ? OrchestratorRules.OutsideWorld : null;
        }
    }

    private static bool IsOutside(ITypeSymbol? type)
    {
        for (var at = type; at is not null; at = at.BaseType)
        {
            if (OutsideTypes.Contains(Name(at)))
                return true;
        }

        return false;
    }

    private static bool TakesTimeSpan(ISymbol member) =>
        member is IMethodSymbol method && method.Parameters.Any(parameter => Name(parameter.Type) == "System.TimeSpan");

    /// <summary>
    /// Whether the argument is false, or a ConfigureAwaitOptions value without ContinueOnCapturedContext (1). An argument that is not
    /// constant is assumed to keep the context.
    /// </summary>
    private static bool LeavesContext(ImmutableArray<IArgumentOperation> arguments) =>
        arguments.LastOrDefault()?.Value.ConstantValue is { HasValue: true, Value: false or int and (0 or 2 or 4 or 6) };

    private static string Name(ITypeSymbol? type) => type?.OriginalDefinition.ToDisplayString() ?? "";

    private static string Short(ISymbol member) =>
        member is IMethodSymbol { MethodKind: MethodKind.Constructor }
            ? "new " + member.ContainingType.Name
            : member.ContainingType.Name + "." + member.Name;

    private sealed class Function(bool isRoot)
    {
        public bool IsRoot { get; } = isRoot;

        public ConcurrentQueue<Diagnostic> Findings { get; } = new();

        public ConcurrentQueue<IMethodSymbol> Calls { get; } = new();
    }
}
